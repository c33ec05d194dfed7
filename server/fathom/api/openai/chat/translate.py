"""Chat Completions to the canonical request, and events to its bodies and chunks.

Chunks follow what clients read: the role first, trace and answer never in one chunk, the finish reason alone, then
usage. What stays the same in every chunk is encoded once per request; a token costs one small JSON string.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec

from fathom.api.openai.chat.schemas import ChatMessage, ChatRequest
from fathom.core.errors import BadRequest, Unsupported
from fathom.core.events import Accepted, Event, Finished, ReasoningDelta, TextDelta
from fathom.core.generation import GenerationRequest, Message, ReasoningControl, Sampling

_encode = msgspec.json.encode


def to_generation(body: ChatRequest, request_id: str, adapter: str | None) -> GenerationRequest:
    """Raises BadRequest for what the schema cannot see."""
    return GenerationRequest(
        id=request_id,
        messages=tuple(_message(message, at) for at, message in enumerate(body.messages)),
        sampling=_sampling(body),
        reasoning=_reasoning(body),
        adapter=adapter,
    )


class ChatStream:
    """Events to frames of one streamed completion."""

    def __init__(self, body: ChatRequest, completion_id: str, reasoning_keys: tuple[str, ...]) -> None:
        self._show_trace = body.include_reasoning is not False
        self._with_usage = bool(body.stream_options and body.stream_options.include_usage)
        head = {
            "id": completion_id,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": body.model,
        }
        self._head = b"data: " + _encode(head)[:-1]
        usage = b',"usage":null' if self._with_usage else b""
        self._before = self._head + b',"choices":[{"index":0,"delta":{'
        self._after = b'},"logprobs":null,"finish_reason":null}]' + usage + b"}\n\n"
        self._last = b'},"logprobs":null,"finish_reason":"%b"}]' + usage + b"}\n\n"
        self._reasoning_keys = [_encode(key) + b":" for key in reasoning_keys]

    async def frames(self, events: AsyncGenerator[Event]) -> AsyncGenerator[bytes]:
        async with aclosing(events):
            async for event in events:
                if frame := self._frame(event):
                    yield frame

    def _frame(self, event: Event) -> bytes:
        match event:
            case TextDelta(text):
                return self._before + b'"content":' + _encode(text) + self._after
            case ReasoningDelta(text) if self._show_trace:
                piece = _encode(text)
                return self._before + b",".join(key + piece for key in self._reasoning_keys) + self._after
            case ReasoningDelta():
                return b""
            case Accepted():
                return self._before + b'"role":"assistant","content":""' + self._after
            case Finished():
                return self._end(event)

    def _end(self, event: Finished) -> bytes:
        end = self._before + self._last % event.reason.encode()
        if self._with_usage:
            end += self._head + b',"choices":[],"usage":' + _encode(_usage(event)) + b"}\n\n"
        return end + b"data: [DONE]\n\n"


async def to_completion(
    events: AsyncGenerator[Event], body: ChatRequest, completion_id: str, reasoning_keys: tuple[str, ...]
) -> dict[str, Any]:
    """The whole completion, once it is there."""
    trace: list[str] = []
    text: list[str] = []
    finished: Finished | None = None
    async with aclosing(events):
        async for event in events:
            match event:
                case TextDelta(piece):
                    text.append(piece)
                case ReasoningDelta(piece):
                    trace.append(piece)
                case Finished():
                    finished = event
    assert finished is not None, "an engine ends with Finished or raises"
    message: dict[str, Any] = {"role": "assistant", "content": "".join(text), "refusal": None}
    if trace and body.include_reasoning is not False:
        message |= dict.fromkeys(reasoning_keys, "".join(trace))
    return {
        "id": completion_id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finished.reason}],
        "usage": _usage(finished),
    }


def _message(message: ChatMessage, at: int) -> Message:
    if message.tool_calls:
        raise Unsupported("Tool calls are not supported by this version.", param=f"messages.{at}.tool_calls")
    if message.content is None and message.role != "assistant":
        raise BadRequest(f"A {message.role} message needs content.", param=f"messages.{at}.content")
    text = message.text
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRequest("The text has half of a surrogate pair in it.", param=f"messages.{at}.content") from None
    return Message(message.role, text, message.name, message.reasoning_content or message.reasoning)


def _sampling(body: ChatRequest) -> Sampling:
    bias = body.logit_bias or {}
    if not all(token.isdecimal() for token in bias):
        raise BadRequest("The keys of logit_bias must be token ids.", param="logit_bias")
    return Sampling(
        max_tokens=body.max_completion_tokens or body.max_tokens,
        min_tokens=body.min_tokens or 0,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        min_p=body.min_p,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        repetition_penalty=body.repetition_penalty,
        seed=body.seed,
        stop=tuple(body.stop or ()),
        logit_bias={int(token): value for token, value in bias.items()},
        ignore_eos=bool(body.ignore_eos),
    )


def _reasoning(body: ChatRequest) -> ReasoningControl:
    thinking = body.thinking
    enabled = thinking.type == "enabled" if thinking else body.enable_thinking
    budget = thinking.budget_tokens if thinking else None
    return ReasoningControl(
        enabled=enabled,
        budget=body.thinking_token_budget if budget is None else budget,
        visible=body.include_reasoning is not False,
    )


def _usage(event: Finished) -> dict[str, Any]:
    return {
        "prompt_tokens": event.prompt_tokens,
        "completion_tokens": event.completion_tokens,
        "total_tokens": event.prompt_tokens + event.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": event.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": event.reasoning_tokens},
        "prompt_cache_hit_tokens": event.cached_tokens,
        "prompt_cache_miss_tokens": event.prompt_tokens - event.cached_tokens,
    }
