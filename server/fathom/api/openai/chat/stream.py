"""Events to the chunks of a streamed chat completion.

Chunks follow what clients read: the role first, trace and answer never in one chunk, the finish reason alone, then
usage. What stays the same in every chunk is encoded once per request; a token costs one small JSON string.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec

from fathom.api import sse
from fathom.api.openai import controls, fields, shared
from fathom.api.openai.chat.schemas import ChatRequest
from fathom.api.openai.chat.translate import INLINE_BEGIN, INLINE_END, TRACE_KEYS, ending, logprobs_body
from fathom.core.events import (
    Accepted,
    Echo,
    Event,
    Finished,
    Queued,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    Tokens,
    ToolCallDelta,
    ToolCallStart,
)

_encode = msgspec.json.encode
_NULL = b"null"


class ChatStream:
    """Events to frames of one streamed completion. `trace`: the setting reasoning.fields."""

    def __init__(self, body: ChatRequest, completion_id: str, trace: str) -> None:
        self._show_trace = controls.visible(body)
        self._with_logprobs, self._with_ids = bool(body.logprobs), bool(body.return_token_ids)
        self._with_usage = body.wants_usage
        self._finished: list[Finished] = []
        head: dict[str, Any] = {
            "id": completion_id,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": body.model,
        }
        if body.service_tier:
            head["service_tier"] = fields.tier_of(body.service_tier)
        self.head = b"data: " + _encode(head)[:-1]
        self.tail = (b',"usage":null' if self._with_usage else b"") + b"}\n\n"
        self._choices = [_ChoiceFrames(self, at, trace) for at in range(body.choices)]

    async def frames(self, events: AsyncGenerator[Event]) -> AsyncGenerator[bytes]:
        async with aclosing(events):
            async for event in events:
                if frame := self.frame(event):
                    yield frame
        assert len(self._finished) == len(self._choices), "an engine ends every choice with Finished, or raises"

    def frame(self, event: Event) -> bytes:
        """Nothing, for what the client does not see."""
        match event:
            case TextDelta():
                return self._choices[event.choice].text(event)
            case ReasoningDelta():
                return self._choices[event.choice].trace(event) if self._show_trace else b""
            case ToolCallStart():
                function = {"name": event.name, "arguments": ""}
                call = {"index": event.call, "id": event.id, "type": "function", "function": function}
                return self._choices[event.choice].call(call)
            case ToolCallDelta():
                return self._choices[event.choice].call(
                    {"index": event.call, "function": {"arguments": event.arguments}}
                )
            case Accepted():
                return self._begin(event)
            case Tokens():
                return self._choices[event.choice].tokens(event)
            case Finished():
                return self._end(event)
            case Queued():
                return sse.queued(event)
            case Echo():
                return b""

    def logprobs(self, content: tuple[TokenLogprob, ...], trace: tuple[TokenLogprob, ...]) -> bytes:
        if not self._with_logprobs or not (content or trace):
            return _NULL
        return _encode(logprobs_body(content, trace))

    def _begin(self, event: Accepted) -> bytes:
        extra = b"" if event.prompt_ids is None else b',"prompt_token_ids":' + _encode(event.prompt_ids)
        return b"".join(choice.role(extra) for choice in self._choices)

    def _end(self, event: Finished) -> bytes:
        end = self._choices[event.choice].end(event)
        self._finished.append(event)
        if len(self._finished) < len(self._choices):
            return end
        if self._with_usage:
            end += self.head + b',"choices":[],"usage":' + _encode(shared.usage(self._finished)) + b"}\n\n"
        return end + b"data: [DONE]\n\n"


class _ChoiceFrames:
    """The frames of one choice."""

    def __init__(self, stream: ChatStream, index: int, trace: str) -> None:
        self._stream = stream
        self._before = stream.head + b',"choices":[{"index":%d,"delta":{' % index
        self._after = b'},"logprobs":null,"finish_reason":null}]' + stream.tail
        self._trace_keys = [_encode(key) + b":" for key in TRACE_KEYS[trace]]
        self._inline_open = False

    def role(self, extra: bytes) -> bytes:
        return self._chunk(b'"role":"assistant","content":""', top=extra)

    def text(self, event: TextDelta) -> bytes:
        closing = INLINE_END if self._inline_open else ""
        self._inline_open = False
        delta = b'"content":' + _encode(closing + event.text)
        if not event.logprobs:
            return self._before + delta + self._after
        return self._chunk(delta, logprobs=self._stream.logprobs(event.logprobs, ()))

    def trace(self, event: ReasoningDelta) -> bytes:
        if self._trace_keys:
            piece = _encode(event.text)
            delta = b",".join([key + piece for key in self._trace_keys])
        else:
            delta = b'"content":' + _encode(event.text if self._inline_open else INLINE_BEGIN + event.text)
            self._inline_open = True
        if not event.logprobs:
            return self._before + delta + self._after
        return self._chunk(delta, logprobs=self._stream.logprobs((), event.logprobs))

    def call(self, call: dict[str, Any]) -> bytes:
        return self._close_inline() + self._chunk(b'"tool_calls":' + _encode([call]))

    def tokens(self, event: Tokens) -> bytes:
        return self._chunk(b"", extra=b',"token_ids":' + _encode(event.ids))

    def end(self, event: Finished) -> bytes:
        extra = b"".join(b',"%b":%b' % (key.encode(), _encode(value)) for key, value in ending(event).items())
        return self._close_inline() + self._chunk(b"", reason=_encode(event.reason), extra=extra)

    def _close_inline(self) -> bytes:
        if not self._inline_open:
            return b""
        self._inline_open = False
        return self._chunk(b'"content":' + _encode(INLINE_END))

    def _chunk(
        self, delta: bytes, *, logprobs: bytes = _NULL, reason: bytes = _NULL, extra: bytes = b"", top: bytes = b""
    ) -> bytes:
        end = b'},"logprobs":%b,"finish_reason":%b%b}]%b%b' % (logprobs, reason, extra, top, self._stream.tail)
        return self._before + delta + end
