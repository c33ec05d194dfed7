"""Completions to canonical requests, one a prompt, and their events to bodies and chunks.

What stays the same in every chunk is encoded once per request; a token costs one small JSON object.
"""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from fathom.api import sse
from fathom.api.fields import encodable
from fathom.api.openai import fields
from fathom.api.openai.completions.choices import Choices, Piece, whole
from fathom.api.openai.completions.schemas import CompletionRequest
from fathom.core.errors import BadRequest, Unsupported
from fathom.core.events import Accepted, Event, Queued, TextDelta
from fathom.core.generation import GenerationRequest, Text, TokenIds
from fathom.core.merging import merge

Numbered = tuple[int, Event]
"""An event, and which prompt it is of."""

_encode = msgspec.json.encode
_DEFAULT_MAX_TOKENS = 16


def to_generations(
    body: CompletionRequest, completion_id: str, adapter: str | None, *, fills: bool
) -> list[GenerationRequest]:
    """One request for each prompt. Raises BadRequest for what the schema cannot see."""
    prompts = _prompts(body)
    _check(body, prompts, fills)
    max_tokens = _DEFAULT_MAX_TOKENS if body.max_tokens is None else body.max_tokens
    sampling = fields.to_sampling(body, max_tokens=max_tokens, logprobs=body.logprobs)
    structure = fields.structure_of(body)
    return [
        GenerationRequest(
            id=f"{completion_id}-{at}",
            prompt=prompt,
            sampling=sampling,
            structure=structure,
            adapter=adapter,
            n=body.choices,
            echo=bool(body.echo),
            token_ids=bool(body.return_token_ids),
        )
        for at, prompt in enumerate(prompts)
    ]


class CompletionStream:
    """Events to frames of one streamed completion."""

    def __init__(self, body: CompletionRequest, completion_id: str, prompts: int) -> None:
        self._choices, self._each = Choices(body, prompts), body.choices
        self._with_usage = body.wants_usage
        self._head = b"data: " + _encode(_head(body, completion_id))[:-1]
        self._before = self._head + b',"choices":['
        self._after = b"]" + (b',"usage":null' if self._with_usage else b"") + b"}\n\n"
        self._held = bytearray()
        self._text_alone = body.logprobs is None and not body.return_token_ids
        self._before_text = [self._before + b'{"index":%d,"text":' % at for at in range(prompts * body.choices)]
        self._after_text = b',"logprobs":null,"finish_reason":null}' + self._after

    async def frames(self, streams: Sequence[AsyncGenerator[Event]]) -> AsyncGenerator[bytes]:
        """Of the prompts' events, in their order.

        Nothing leaves before every prompt is accepted or waits: until then, an error still is a status. Then the
        headers leave, with an empty frame.
        """
        if len(streams) == 1:
            async with aclosing(streams[0]) as events:
                async for event in events:
                    if (frame := self.frame(0, event)) is not None:
                        yield frame
        else:
            async with aclosing(_merged(streams)) as several:
                async for prompt, event in several:
                    if (frame := self.frame(prompt, event)) is not None:
                        yield frame
        yield self._end()

    def frame(self, prompt: int, event: Event) -> bytes | None:
        """None: nothing leaves yet."""
        if self._text_alone and isinstance(event, TextDelta) and self._choices.prepared and not self._held:
            before = self._before_text[prompt * self._each + event.choice]
            return before + _encode(event.text) + self._after_text
        for piece in self._choices.read(prompt, event):
            self._held += self._before + _encode(piece) + self._after
        if isinstance(event, Queued):
            self._held += sse.queued(event)
        if not self._choices.prepared or not (self._held or isinstance(event, Accepted)):
            return None
        frame, self._held = bytes(self._held), bytearray()
        return frame

    def _end(self) -> bytes:
        usage = self._choices.usage()
        last = self._head + b',"choices":[],"usage":' + _encode(usage) + b"}\n\n" if self._with_usage else b""
        return last + b"data: [DONE]\n\n"


async def to_completion(
    streams: Sequence[AsyncGenerator[Event]], body: CompletionRequest, completion_id: str
) -> dict[str, Any]:
    """The whole completion of the prompts' events, once it is there."""
    choices = Choices(body, len(streams))
    pieces: list[list[Piece]] = [[] for _ in range(len(streams) * body.choices)]
    async with aclosing(_merged(streams)) as events:
        async for prompt, event in events:
            for piece in choices.read(prompt, event):
                pieces[piece["index"]].append(piece)
    usage = choices.usage()
    return {**_head(body, completion_id), "choices": [whole(each) for each in pieces], "usage": usage}


def _head(body: CompletionRequest, completion_id: str) -> dict[str, Any]:
    return {"id": completion_id, "object": "text_completion", "created": int(time.time()), "model": body.model}


def _merged(streams: Sequence[AsyncGenerator[Event]]) -> AsyncGenerator[Numbered]:
    """The events of all prompts, as they come."""
    return merge([_numbered(prompt, events, len(streams) > 1) for prompt, events in enumerate(streams)])


async def _numbered(prompt: int, events: AsyncGenerator[Event], one_of_many: bool) -> AsyncGenerator[Numbered]:
    async with aclosing(events):
        try:
            async for event in events:
                yield prompt, event
        except BadRequest as error:
            if one_of_many and error.param and error.param.partition(".")[0] == "prompt":
                error.param = f"prompt.{prompt}{error.param.removeprefix('prompt')}"
            raise


def _prompts(body: CompletionRequest) -> list[Text | TokenIds]:
    begins = body.add_special_tokens is not False
    match body.prompt:
        case str() as text:
            given: list[Any] = [text]
        case [int(), *_] as ids:
            given = [ids]
        case several:
            given = several
    return [
        Text(each, begins, body.suffix or None) if isinstance(each, str) else TokenIds(tuple(each)) for each in given
    ]


def _check(body: CompletionRequest, prompts: Sequence[Text | TokenIds], fills: bool) -> None:
    if len(prompts) * body.choices > fields.MOST_CHOICES:
        raise BadRequest(
            f"{len(prompts)} prompts with n = {body.choices} make {len(prompts) * body.choices} choices, and a request "
            f"has at most {fields.MOST_CHOICES}. Send fewer prompts, or a smaller n.",
            param="n",
        )
    if body.max_tokens == 0 and not body.echo:
        raise BadRequest("max_tokens is 0, so there is nothing to say. Raise it, or set echo.", param="max_tokens")
    if body.best_of is not None and body.best_of != body.choices:
        raise Unsupported(
            f"best_of = {body.best_of} is not supported: nothing here ranks completions by their total probability. "
            f"Leave best_of out, or ask for n = {body.best_of} with logprobs and pick one.",
            param="best_of",
        )
    if body.suffix:
        _check_suffix(body, prompts, fills)


def _check_suffix(body: CompletionRequest, prompts: Sequence[Text | TokenIds], fills: bool) -> None:
    encodable(body.suffix or "", "suffix")
    if not fills:
        raise Unsupported(
            f"suffix is not supported: {body.model[:200]!r} was not trained to fill in the middle. "
            "Leave suffix out, or serve a model that was.",
            param="suffix",
        )
    if body.echo or not all(isinstance(prompt, Text) for prompt in prompts):
        raise BadRequest("suffix goes with prompts of text, and without echo.", param="suffix")
