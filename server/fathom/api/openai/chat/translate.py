"""Chat Completions to the canonical request, and events to a whole completion. chat/stream.py makes the chunks."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from fathom.api.openai import controls, fields, shared
from fathom.api.openai.chat.prompt import chat_prompt
from fathom.api.openai.chat.schemas import ChatRequest
from fathom.api.openai.fields import tier_of
from fathom.core.errors import BadRequest
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
from fathom.core.generation import GenerationRequest

TRACE_KEYS: dict[str, tuple[str, ...]] = {
    "both": ("reasoning_content", "reasoning"),
    "reasoning_content": ("reasoning_content",),
    "reasoning": ("reasoning",),
    "inline": (),
}
"""The setting reasoning.fields to the names that carry a trace; none of them: it is part of the content."""

INLINE_BEGIN, INLINE_END = "<think>\n", "\n</think>\n\n"


def to_generation(body: ChatRequest, request_id: str, adapter: str | None) -> GenerationRequest:
    """Raises BadRequest for what the schema cannot see."""
    if body.top_logprobs is not None and not body.logprobs:
        raise BadRequest("top_logprobs needs logprobs: true.", param="top_logprobs")
    return GenerationRequest(
        id=request_id,
        prompt=chat_prompt(body),
        sampling=fields.to_sampling(
            body,
            max_tokens=body.max_completion_tokens or body.max_tokens,
            logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        ),
        reasoning=controls.control(body),
        structure=fields.structure_of(body),
        adapter=adapter,
        n=body.choices,
        token_ids=bool(body.return_token_ids),
        tier=tier_of(body.service_tier),
    )


async def to_completion(
    events: AsyncGenerator[Event], body: ChatRequest, completion_id: str, fields: str
) -> dict[str, Any]:
    """The whole completion, once it is there. `fields`: the setting reasoning.fields."""
    choices = [_Choice(at) for at in range(body.choices)]
    prompt_ids: tuple[int, ...] | None = None
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Accepted):
                prompt_ids = event.prompt_ids
            elif not isinstance(event, Queued | Echo):
                choices[event.choice].take(event)
    completion = {
        "id": completion_id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body.model,
        "choices": [choice.body(body, TRACE_KEYS[fields]) for choice in choices],
        "usage": shared.usage([choice.finished for choice in choices if choice.finished]),
    }
    if body.service_tier:
        completion["service_tier"] = tier_of(body.service_tier)
    if prompt_ids is not None:
        completion["prompt_token_ids"] = prompt_ids
    return completion


def ending(event: Finished) -> dict[str, str]:
    """How the trace ended, where there was one: an extension, since finish_reason is OpenAI's."""
    if not event.reasoning_tokens:
        return {}
    return {"reasoning_finish_reason": "budget" if event.budget_exhausted else "length" if event.trace_cut else "stop"}


def logprobs_body(content: Sequence[TokenLogprob], trace: Sequence[TokenLogprob]) -> dict[str, Any]:
    """OpenAI's object, and DeepSeek's name for the tokens of the trace."""
    body: dict[str, Any] = {"content": [shared.logprob(each) for each in content] if content else None, "refusal": None}
    return body | ({"reasoning_content": [shared.logprob(each) for each in trace]} if trace else {})


@dataclass(slots=True)
class _Choice:
    """One choice while it comes."""

    index: int
    trace: list[ReasoningDelta] = field(default_factory=list)
    text: list[TextDelta] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    finished: Finished | None = None

    def take(self, event: Event) -> None:
        match event:
            case TextDelta():
                self.text.append(event)
            case ReasoningDelta():
                self.trace.append(event)
            case ToolCallStart(id=call_id, name=name):
                self.calls.append({"id": call_id, "type": "function", "function": {"name": name, "arguments": ""}})
            case ToolCallDelta(call, arguments):
                self.calls[call]["function"]["arguments"] += arguments
            case Tokens(ids):
                self.token_ids += ids
            case Finished():
                self.finished = event

    def body(self, request: ChatRequest, trace_keys: tuple[str, ...]) -> dict[str, Any]:
        assert self.finished is not None, "an engine ends every choice with Finished, or raises"
        shown = self.trace if controls.visible(request) else []
        choice = {
            "index": self.index,
            "message": self._message("".join(piece.text for piece in shown), trace_keys),
            "logprobs": self._logprobs(shown) if request.logprobs else None,
            "finish_reason": self.finished.reason,
            **ending(self.finished),
        }
        return choice | ({"token_ids": self.token_ids} if request.return_token_ids else {})

    def _message(self, trace: str, trace_keys: tuple[str, ...]) -> dict[str, Any]:
        content = "".join(piece.text for piece in self.text)
        if trace and not trace_keys:
            content = f"{INLINE_BEGIN}{trace}{INLINE_END}{content}"
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if trace:
            message |= dict.fromkeys(trace_keys, trace)
        if self.calls:
            message |= {"content": content or None, "tool_calls": self.calls}
        return message

    def _logprobs(self, shown: Sequence[ReasoningDelta]) -> dict[str, Any]:
        return logprobs_body(
            [each for piece in self.text for each in piece.logprobs],
            [each for piece in shown for each in piece.logprobs],
        )
