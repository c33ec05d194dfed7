"""POST /v1/chat/completions."""

import uuid
from dataclasses import replace

import msgspec
from fastapi import APIRouter, Request, Response

from fathom.api import sse
from fathom.api.dependencies import CurrentCard, CurrentGenerate, CurrentSettings, CurrentTerms
from fathom.api.json_body import JsonRoute
from fathom.api.openai import shared
from fathom.api.openai.chat import translate
from fathom.api.openai.chat.schemas import INSTEAD, REFUSED, ChatRequest
from fathom.api.openai.chat.stream import ChatStream
from fathom.core.shortcut import Shortcut
from fathom.telemetry import record

router = APIRouter(tags=["chat"], route_class=JsonRoute)


@router.post("/v1/chat/completions")
async def create_chat_completion(
    body: ChatRequest,
    request: Request,
    card: CurrentCard,
    settings: CurrentSettings,
    terms: CurrentTerms,
    generate: CurrentGenerate,
) -> Response:
    """Continue a chat. The model's trace comes as `reasoning_content` and `reasoning`, before the answer."""
    adapter = shared.adapter_of(body.model, card)
    record.note(model=body.model, stream=bool(body.stream))
    shared.refuse(body, REFUSED, INSTEAD)
    headers = shared.ignored_header(body, settings.http.strict)
    completion_id = f"chatcmpl-{uuid.uuid4().hex}"
    generation = terms.on(translate.to_generation(body, completion_id, adapter))
    fields = settings.reasoning.fields
    if body.stream:
        stream = ChatStream(body, completion_id, fields)
        shortcut = Shortcut(stream.frame)
        frames = stream.frames(generate(replace(generation, shortcut=shortcut)))
        return await sse.stream(request, frames, shared.error_frame, headers, settings.http, shortcut=shortcut)
    whole = translate.to_completion(generate(generation), body, completion_id, fields)
    completion = await sse.unless_gone(request, whole)
    if completion is None:
        return Response(status_code=499)
    return Response(msgspec.json.encode(completion), headers=headers, media_type="application/json")
