"""Stored responses in OpenAI's words, for the serving side that keeps them."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from fathom.api.openai import shared
from fathom.api.openai.responses import translate
from fathom.api.openai.responses.reasoning_output import TraceOptions
from fathom.api.openai.responses.schemas import ResponsesRequest
from fathom.api.openai.responses.transcript import ResponseTranscript
from fathom.api.openai.responses.truncation import shortened
from fathom.core.engine import ModelCard
from fathom.core.errors import ServiceError
from fathom.core.generation import GenerationRequest
from fathom.serving.responses.draft import StoredResponse
from fathom.serving.sealing import Seals
from fathom.settings import Settings

Json = dict[str, Any]


class StoredResponses:
    """card: what is served; it raises EngineUnavailable while nothing is."""

    def __init__(self, settings: Settings, seals: Seals, card: Callable[[], ModelCard]) -> None:
        self._keeping, self._seals, self._card = settings.store.traces, seals, card

    def transcript(self, stored: StoredResponse) -> ResponseTranscript:
        """As it was stored; its frames are numbered from `stored.next_number` on."""
        trace = TraceOptions(keeping=self._keeping)
        if stored.request is not None:
            try:
                trace = translate.trace_options(_body(stored), self._seals, self._keeping)
            except ValidationError:  # it can still be ended, and that without a trace
                trace = TraceOptions(visible=False, keeping=self._keeping)
        return ResponseTranscript(deepcopy(stored.body), trace, stored.next_number)

    def generation(self, stored: StoredResponse, history: Sequence[Json], generation_id: str) -> GenerationRequest:
        """For the engine. Raises ServiceError if it can't be made any more."""
        assert stored.request is not None, "a response that has not ended has its request"
        try:
            body = _body(stored)
        except ValidationError:
            raise ServiceError("This server is another version, and cannot read the request. Send it again.") from None
        items = shortened([*history, *stored.request["items"]], stored.request["cut"])
        request = translate.to_generation(body, items, generation_id, shared.adapter_of(body.model, self._card()))
        return replace(request, patient=True)


def _body(stored: StoredResponse) -> ResponsesRequest:
    assert stored.request is not None, "a response that has not ended has its request"
    return ResponsesRequest.model_validate(stored.request["body"])
