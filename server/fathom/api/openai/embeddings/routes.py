"""POST /v1/embeddings."""

import uuid

from fastapi import APIRouter, Request, Response

from fathom.api import sse
from fathom.api.dependencies import CurrentCard, CurrentEmbed, CurrentSettings, CurrentTerms
from fathom.api.json_body import JsonRoute
from fathom.api.openai import shared
from fathom.api.openai.embeddings import translate
from fathom.api.openai.embeddings.schemas import EmbeddingsRequest
from fathom.telemetry import record

router = APIRouter(tags=["embeddings"], route_class=JsonRoute)


@router.post("/v1/embeddings")
async def create_embeddings(
    body: EmbeddingsRequest,
    request: Request,
    card: CurrentCard,
    settings: CurrentSettings,
    terms: CurrentTerms,
    embed: CurrentEmbed,
) -> Response:
    """A vector of unit length for each input, from a server that serves an embedding model."""
    shared.adapter_of(body.model, card)
    record.note(model=body.model)
    headers = shared.ignored_header(body, settings.http.strict)
    prompts, dimensions = translate.to_prompts(body), body.dimensions
    work = embed(f"embd-{uuid.uuid4().hex}", prompts, dimensions, terms.timeout, caller=terms.caller)
    embeddings = await sse.unless_gone(request, work)
    if embeddings is None:
        return Response(status_code=499)
    return Response(translate.to_body(embeddings, body), headers=headers, media_type="application/json")
