"""Responses to the canonical request, and to the body that its transcript fills."""

import time
from collections.abc import Sequence
from typing import Any

from fathom.api.openai import controls, fields, shared
from fathom.api.openai.responses.items import storable
from fathom.api.openai.responses.reasoning_output import TraceOptions
from fathom.api.openai.responses.schemas import (
    INSTEAD,
    REFUSED,
    REFUSED_INSIDE,
    REFUSED_PROMPT,
    PromptRequest,
    ResponsesRequest,
    TextFormat,
)
from fathom.api.openai.responses.tools import echo_choice, echo_tools, tools_of
from fathom.api.openai.responses.traces import Keeping
from fathom.api.openai.responses.turns import to_messages
from fathom.core.engine import ModelCard
from fathom.core.errors import BadRequest
from fathom.core.generation import Chat, GenerationRequest, Message, Structure
from fathom.serving.sealing import Seals

Json = dict[str, Any]


def refuse(body: PromptRequest) -> None:
    """Raises Unsupported for fields that are known and cannot be honoured, BadRequest for those that exclude others."""
    shared.refuse(body, REFUSED if isinstance(body, ResponsesRequest) else REFUSED_PROMPT, INSTEAD)
    for name, inside in REFUSED_INSIDE.items():
        if part := getattr(body, name, None):
            shared.refuse(part, inside, INSTEAD, inside=f"{name}.")
    if isinstance(body, ResponsesRequest) and body.background and not body.stored:
        raise BadRequest("A background response has to be stored. Leave store out.", param="background")


def to_prompt(body: PromptRequest, items: Sequence[Json]) -> Chat:
    """items: the whole conversation. Raises BadRequest for what the schema cannot see."""
    messages = tuple(to_messages(items))
    if not messages:
        raise BadRequest("There is nothing to respond to. Send input.", param="input")
    if body.instructions:
        instructions = fields.encodable(body.instructions, "instructions")
        messages = (Message("system", instructions), *messages)
    return Chat(messages, tools_of(body), variables=controls.template_variables(body), param="input")


def to_generation(
    body: ResponsesRequest, items: Sequence[Json], generation_id: str, adapter: str | None
) -> GenerationRequest:
    """Raises BadRequest for what the schema cannot see."""
    return GenerationRequest(
        id=generation_id,
        prompt=to_prompt(body, items),
        sampling=fields.to_sampling(
            body,
            max_tokens=body.max_output_tokens,
            logprobs=(body.top_logprobs or 0) if body.wants_logprobs else None,
        ),
        reasoning=controls.control(body),
        structure=_structure(body),
        adapter=adapter,
        tier=fields.tier_of(body.service_tier),
    )


def to_body(body: ResponsesRequest, response_id: str, card: ModelCard) -> Json:
    """The response before there is any output. Fields that clients expect are always there."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": int(time.time()),
        "status": "queued" if body.background else "in_progress",
        "model": body.model,
        "background": bool(body.background),
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": None,
        "metadata": body.metadata or {},
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": body.previous_response_id,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": _reasoning(body),
        "safety_identifier": body.safety_identifier,
        "service_tier": fields.tier_of(body.service_tier),
        "store": body.stored,
        "text": {"format": _format(body.text.format) if body.text and body.text.format else {"type": "text"}},
        "tool_choice": echo_choice(body),
        "tools": echo_tools(body),
        "truncation": body.truncation or "disabled",
        "usage": None,
        **_sampling(body, card),
        **({"user": body.user} if body.user is not None else {}),
    }


def wishes(body: ResponsesRequest) -> Json:
    """The request without its input, to be validated again when its turn comes. Raises BadRequest for what cannot be
    kept."""
    known = type(body).model_fields.keys() - {"input"}
    kept = body.model_dump(include=known, exclude_unset=True, by_alias=True)
    return {name: storable(value, name) for name, value in kept.items()}


def trace_options(body: ResponsesRequest, seals: Seals, keeping: Keeping) -> TraceOptions:
    return TraceOptions(
        visible=controls.visible(body),
        summary=body.wants_summary,
        seals=seals if body.wants_sealed_trace else None,
        keeping=keeping,
    )


def _sampling(body: ResponsesRequest, card: ModelCard) -> Json:
    asked = {"temperature": body.temperature, "top_p": body.top_p}
    return {
        **{name: card.sampling.get(name, 1.0) if value is None else value for name, value in asked.items()},
        "presence_penalty": body.presence_penalty or 0.0,
        "frequency_penalty": body.frequency_penalty or 0.0,
        "top_logprobs": body.top_logprobs or 0,
    }


def _reasoning(body: ResponsesRequest) -> Json:
    """As it was asked for, with the two fields of OpenAI's that are always there."""
    options = body.reasoning
    effort = body.reasoning_effort or (options.effort if options else None)
    summary = options.summary or options.generate_summary if options else None
    ours = options.model_dump(include={"max_tokens", "enabled", "exclude"}, exclude_none=True) if options else {}
    return {"effort": effort, "summary": summary, **ours}


def _structure(body: ResponsesRequest) -> Structure | None:
    asked = _text_structure(body.text.format) if body.text and body.text.format else None
    also = fields.to_structure(body.structured_outputs)
    if asked and also:
        raise BadRequest(
            "text.format and structured_outputs both say what the answer must match. Send one of them.",
            param="structured_outputs",
        )
    return asked or also


def _text_structure(asked: TextFormat) -> Structure | None:
    if asked.type == "text":
        return None
    if asked.type == "json_object":
        return Structure("json_object", param="text.format")
    missing = next((name for name, value in (("name", asked.name), ("schema", asked.schema_)) if value is None), None)
    if missing:
        raise BadRequest(f"A format of type json_schema needs {missing}.", param=f"text.format.{missing}")
    return Structure("json_schema", asked.schema_, "text.format.schema")


def _format(asked: TextFormat) -> Json:
    if asked.type != "json_schema":
        return {"type": asked.type}
    described = {"description": asked.description} if asked.description is not None else {}
    return {
        "type": "json_schema",
        "name": asked.name,
        **described,
        "schema": asked.schema_,
        "strict": asked.strict is True,
    }
