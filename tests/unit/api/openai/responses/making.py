"""Transcripts and requests for the tests of this folder."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from fathom.api.openai.responses.reasoning_output import TraceOptions
from fathom.api.openai.responses.schemas import ResponsesRequest
from fathom.api.openai.responses.transcript import ResponseTranscript
from fathom.api.openai.responses.translate import to_body
from fathom.core.engine import ModelCard
from fathom.core.events import Accepted, Event
from fathom.serving.responses.draft import Frame
from fathom.serving.sealing import Seals

SEALS = Seals(bytes(32))
CARD = ModelCard("m", "a test", "plain", "none", "none", 4096, 65536, 0, ("poet",), sampling={"temperature": 0.6})


def request(**fields: Any) -> ResponsesRequest:
    return ResponsesRequest.model_validate({"model": "m", "input": "Hello", **fields})


def transcript(trace: TraceOptions | None = None, number: int = 0, **fields: Any) -> ResponseTranscript:
    return ResponseTranscript(to_body(request(**fields), "resp_1", CARD), trace or TraceOptions(), number)


def played(one: ResponseTranscript, events: Iterable[Event]) -> list[Frame]:
    """All frames of a response whose engine says this after it has accepted."""
    frames = [*one.created(), *one.started()]
    for event in (Accepted(5), *events):
        frames += one.take(event)
    return frames


def shown(frames: Sequence[Frame]) -> list[dict[str, Any]]:
    return [json.loads(frame.data) for frame in frames]


def kept(frames: Sequence[Frame]) -> list[dict[str, Any]]:
    return [json.loads(frame.kept) for frame in frames if frame.kept is not None]
