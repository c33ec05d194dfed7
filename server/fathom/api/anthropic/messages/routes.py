"""POST /v1/messages and POST /v1/messages/count_tokens."""

from dataclasses import replace
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from fathom.api import sse
from fathom.api.anthropic import errors
from fathom.api.anthropic.messages import translate
from fathom.api.anthropic.messages.prompt import chat_prompt
from fathom.api.anthropic.messages.schemas import INSTEAD, REFUSED, MessagesRequest, PromptRequest
from fathom.api.anthropic.messages.stream import PING, MessageStream
from fathom.api.dependencies import (
    CurrentCard,
    CurrentGenerate,
    CurrentSeals,
    CurrentSettings,
    CurrentSupervisor,
    CurrentTerms,
)
from fathom.api.fields import adapter_of, ignored_header, refuse
from fathom.api.json_body import JsonRoute
from fathom.core.errors import ServiceError
from fathom.core.ids import new_id
from fathom.core.shortcut import Shortcut
from fathom.telemetry import record

router = APIRouter(
    tags=["messages"],
    route_class=JsonRoute,
    responses={"4XX": {"model": errors.MessagesErrorBody}, "5XX": {"model": errors.MessagesErrorBody}},
)


@router.post("/v1/messages")
async def create_message(
    body: MessagesRequest,
    request: Request,
    card: CurrentCard,
    settings: CurrentSettings,
    terms: CurrentTerms,
    generate: CurrentGenerate,
    seals: CurrentSeals,
) -> Response:
    """The assistant's next turn, in Anthropic's shape. The model's trace comes before it, as a `thinking` block."""
    adapter = adapter_of(body.model, card)
    record.note(model=body.model, stream=bool(body.stream))
    refuse(body, REFUSED, INSTEAD)
    headers = ignored_header(body, settings.http.strict)
    message_id = new_id("msg")
    generation = terms.on(translate.to_generation(body, message_id, adapter, seals))
    if body.stream:

        def error_frame(error: ServiceError) -> bytes:
            return errors.frame(error, request.state.request_id)

        stream = MessageStream(body, message_id, seals, card.context_length)
        shortcut = Shortcut(stream.frame)
        frames = stream.frames(generate(replace(generation, shortcut=shortcut)))
        return await sse.stream(
            request, frames, error_frame, headers, settings.http, sign_of_life=PING, shortcut=shortcut
        )
    whole = translate.to_message(generate(generation), body, message_id, seals, card.context_length)
    message = await sse.unless_gone(request, whole)
    return Response(status_code=499) if message is None else _json(message, headers)


@router.post("/v1/messages/count_tokens")
async def count_tokens(
    body: PromptRequest,
    card: CurrentCard,
    settings: CurrentSettings,
    supervisor: CurrentSupervisor,
    seals: CurrentSeals,
) -> Response:
    """How many tokens the prompt of such a message has."""
    adapter_of(body.model, card)
    record.note(model=body.model)
    refuse(body, REFUSED, INSTEAD)
    headers = ignored_header(body, settings.http.strict)
    tokenized = await supervisor.tokenize(chat_prompt(body, seals), translate.control(body))
    return _json({"input_tokens": len(tokenized.ids)}, headers)


def _json(answer: dict[str, Any], headers: dict[str, str]) -> Response:
    return Response(msgspec.json.encode(answer), headers=headers, media_type="application/json")
