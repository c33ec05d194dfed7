"""Messages to the canonical request, and events to a whole message. messages/stream.py makes the events."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fathom.api.anthropic.messages.blocks import Blocks
from fathom.api.anthropic.messages.prompt import chat_prompt
from fathom.api.anthropic.messages.schemas import MessagesRequest, OutputConfig, PromptRequest
from fathom.api.fields import refuse
from fathom.core.errors import Unsupported
from fathom.core.events import Accepted, Echo, Event, Finished, Queued, Tokens
from fathom.core.generation import GenerationRequest, ReasoningControl, Sampling, Structure
from fathom.serving.sealing import Seals

_FORMAT = "output_config.format.schema"


def to_generation(body: MessagesRequest, message_id: str, adapter: str | None, seals: Seals) -> GenerationRequest:
    """Raises BadRequest for what the schema cannot see."""
    config = body.output_config
    return GenerationRequest(
        id=message_id,
        prompt=chat_prompt(body, seals),
        sampling=Sampling(
            max_tokens=body.max_tokens,
            max_tokens_fit=True,
            temperature=body.temperature,
            top_p=body.top_p,
            top_k=body.top_k,
            stop=tuple(body.stop_sequences or ()),
        ),
        reasoning=control(body),
        structure=Structure("json_schema", config.format.schema_, _FORMAT) if config and config.format else None,
        adapter=adapter,
    )


def control(body: PromptRequest) -> ReasoningControl:
    """Adaptive thinking is left to the model, as is what the client says nothing of. Raises Unsupported."""
    thinking, config = body.thinking, body.output_config or OutputConfig()
    refuse(config, {"task_budget": ()}, inside="output_config.")
    if thinking is None:
        return ReasoningControl(effort=config.effort, param="output_config.effort" if config.effort else "thinking")
    if thinking.type == "between_tools":
        raise Unsupported(
            "thinking.type = 'between_tools' is not supported: no model here tells such turns from others. Send "
            "'enabled', 'disabled' or 'adaptive'.",
            param="thinking.type",
        )
    if thinking.type == "disabled":
        return ReasoningControl(enabled=False)
    return ReasoningControl(
        enabled=True if thinking.type == "enabled" else None,
        budget=thinking.budget_tokens,
        effort=config.effort,
        visible=thinking.display != "omitted",
    )


async def to_message(
    events: AsyncGenerator[Event], body: MessagesRequest, message_id: str, seals: Seals, context_length: int
) -> dict[str, Any]:
    """The whole message, once it is there. A call that the token limit cut is left out, so that nobody runs it."""
    blocks = Blocks()
    finished: Finished | None = None
    async with aclosing(events):
        async for event in events:
            match event:
                case Finished():
                    finished = event
                case Queued() | Accepted() | Echo() | Tokens():
                    pass
                case piece:
                    blocks.take(piece)
    assert finished is not None, "an engine ends every choice with Finished, or raises"
    content = [block.body(seals, body.omits_trace) for block in blocks.all if block.whole]
    return envelope(body.model, message_id) | {
        "content": content,
        **ending(finished, body, context_length),
        "usage": usage(finished) | TIER,
    }


TIER = {"service_tier": "standard"}


def envelope(model: str, message_id: str) -> dict[str, Any]:
    """A message before anything is written."""
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def ending(event: Finished, body: MessagesRequest, context_length: int) -> dict[str, str | None]:
    """Why it ended; a limit that did not fit into the context was not reached."""
    match event.reason:
        case "tool_calls":
            return {"stop_reason": "tool_use", "stop_sequence": None}
        case "length":
            fitted = event.prompt_tokens + body.max_tokens > context_length
            reason = "model_context_window_exceeded" if fitted else "max_tokens"
            return {"stop_reason": reason, "stop_sequence": None}
        case "stop":
            return {"stop_reason": "stop_sequence" if event.stop else "end_turn", "stop_sequence": event.stop}


def usage(event: Finished) -> dict[str, Any]:
    """Anthropic counts apart what came from the cache. What was put there is not told: it costs nothing here."""
    return {
        "input_tokens": event.prompt_tokens - event.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": event.cached_tokens,
        "output_tokens": event.completion_tokens,
        "output_tokens_details": {"thinking_tokens": event.reasoning_tokens},
    }
