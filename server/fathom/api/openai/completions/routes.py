"""POST /v1/completions."""

import uuid
from dataclasses import replace
from functools import partial

import msgspec
from fastapi import APIRouter, Request, Response

from fathom.api import sse
from fathom.api.dependencies import CurrentCard, CurrentGenerate, CurrentSettings, CurrentTerms
from fathom.api.json_body import JsonRoute
from fathom.api.openai import shared
from fathom.api.openai.completions import translate
from fathom.api.openai.completions.schemas import REFUSED, CompletionRequest
from fathom.core.shortcut import Shortcut
from fathom.serving.limits import check_parts
from fathom.telemetry import record

router = APIRouter(tags=["completions"], route_class=JsonRoute)


@router.post("/v1/completions")
async def create_completion(
    body: CompletionRequest,
    request: Request,
    card: CurrentCard,
    settings: CurrentSettings,
    terms: CurrentTerms,
    generate: CurrentGenerate,
) -> Response:
    """Continue text or token ids, as they are: no chat template, no trace."""
    adapter = shared.adapter_of(body.model, card)
    record.note(model=body.model, stream=bool(body.stream))
    shared.refuse(body, REFUSED)
    headers = shared.ignored_header(body, settings.http.strict)
    completion_id = f"cmpl-{uuid.uuid4().hex}"
    requests = translate.to_generations(body, completion_id, adapter, fills=card.fills)
    check_parts(terms.caller.limits, len(requests), "prompt")
    generations = [terms.on(each) for each in requests]
    if body.stream:
        stream = translate.CompletionStream(body, completion_id, len(requests))
        shortcut = Shortcut(partial(stream.frame, 0)) if len(requests) == 1 else None
        frames = stream.frames([generate(replace(each, shortcut=shortcut)) for each in generations])
        return await sse.stream(request, frames, shared.error_frame, headers, settings.http, shortcut=shortcut)
    whole = translate.to_completion([generate(each) for each in generations], body, completion_id)
    completion = await sse.unless_gone(request, whole)
    if completion is None:
        return Response(status_code=499)
    return Response(msgspec.json.encode(completion), headers=headers, media_type="application/json")
