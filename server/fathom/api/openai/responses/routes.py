"""POST /v1/responses, and what can be done with a response that is kept."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from fathom.api import sse
from fathom.api.dependencies import CurrentGenerate, CurrentResponses, CurrentSeals, CurrentSettings, CurrentTenant
from fathom.api.json_body import JsonRoute
from fathom.api.openai import shared
from fathom.api.openai.fields import INT64
from fathom.api.openai.responses import frames, paging, translate
from fathom.api.openai.responses.drafting import CurrentDrafting
from fathom.api.openai.responses.schemas import PromptRequest, ResponsesRequest
from fathom.api.openai.responses.traces import sealed
from fathom.core.errors import BadRequest
from fathom.core.events import Queued
from fathom.serving.responses.draft import Frame
from fathom.settings import HttpSettings
from fathom.telemetry import record

router = APIRouter(tags=["responses"], route_class=JsonRoute)

Json = dict[str, Any]


async def _response_id(response_id: Annotated[str, Path()]) -> str:
    """An id that no store could hold is looked for as what it would be escaped to."""
    return response_id if response_id.isprintable() and response_id.isascii() else ascii(response_id)


ResponseId = Annotated[str, Depends(_response_id)]


@router.post("/v1/responses")
async def create_response(
    body: ResponsesRequest,
    request: Request,
    drafting: CurrentDrafting,
    tenant: CurrentTenant,
    settings: CurrentSettings,
    generate: CurrentGenerate,
    responses: CurrentResponses,
) -> Response:
    """The model's next turn as items: its trace, its text, its calls. It is kept, unless `store` is false."""
    translate.refuse(body)
    headers = shared.ignored_header(body, settings.http.strict)
    draft, transcript = await drafting.draft(body)
    record.note(model=body.model, stream=bool(body.stream), response_id=draft.id)
    coming: AsyncGenerator[Queued | Frame]
    if body.background:
        await responses.enqueue(draft)
        if not body.stream:
            return _json(transcript.body(), headers)
        coming = responses.follow(tenant, draft.id, -1)
    elif body.stored:
        coming = frames.stored(responses.begin(draft))
    else:
        coming = frames.unstored(transcript, generate(draft.generation))
    if body.stream:
        return await _stream(request, frames.FrameStream(coming), settings.http, headers)
    if not await sse.unless_gone(request, frames.last(coming)):
        return Response(status_code=499)
    if transcript.error:
        raise transcript.error.with_traceback(None)
    return _json(transcript.shown(), headers)


@router.post("/v1/responses/input_tokens")
async def count_input_tokens(body: PromptRequest, drafting: CurrentDrafting, settings: CurrentSettings) -> Response:
    """How many tokens a response with these fields would read."""
    translate.refuse(body)
    headers = shared.ignored_header(body, settings.http.strict)
    counted = await drafting.count(body)
    record.note(model=body.model)
    return _json({"object": "response.input_tokens", "input_tokens": counted}, headers)


@router.get("/v1/responses/{response_id}")
async def get_response(
    response_id: ResponseId,
    request: Request,
    tenant: CurrentTenant,
    settings: CurrentSettings,
    responses: CurrentResponses,
    seals: CurrentSeals,
    stream: bool = False,
    starting_after: Annotated[int | None, Query(ge=0, lt=INT64)] = None,
    include_obfuscation: bool = False,
) -> Response:
    """A response as it is now; or, with `stream`, its events behind `starting_after`, until its end."""
    included = paging.includes(request)
    if include_obfuscation:
        raise BadRequest("Events are not padded here. Leave include_obfuscation out.", param="include_obfuscation")
    if stream:
        await responses.exists(tenant, response_id)
        coming = responses.follow(tenant, response_id, -1 if starting_after is None else starting_after)
        return await _stream(request, frames.FrameStream(coming, resumed=True), settings.http, {})
    if starting_after is not None:
        raise BadRequest("starting_after is for streams. Send stream=true with it.", param="starting_after")
    body = await responses.get(tenant, response_id)
    return _json({**body, "output": _shown(body["output"], included, seals)})


@router.delete("/v1/responses/{response_id}")
async def delete_response(response_id: ResponseId, tenant: CurrentTenant, responses: CurrentResponses) -> Response:
    """Forget a response, with its items and events. One that is being made is ended."""
    await responses.delete(tenant, response_id)
    return _json({"id": response_id, "object": "response", "deleted": True})


@router.post("/v1/responses/{response_id}/cancel")
async def cancel_response(response_id: ResponseId, tenant: CurrentTenant, responses: CurrentResponses) -> Response:
    """End a background response. One that has ended stays as it is."""
    return _json(await responses.cancel(tenant, response_id))


@router.get("/v1/responses/{response_id}/input_items")
async def list_input_items(
    response_id: ResponseId,
    request: Request,
    tenant: CurrentTenant,
    responses: CurrentResponses,
    seals: CurrentSeals,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> Response:
    """What a response was made from: its conversation, then its own input. The newest comes first."""
    included = paging.includes(request)
    items = await responses.input_items(tenant, response_id)
    listed = paging.page(items, after=after, limit=limit, order=order)
    return _json({**listed, "data": _shown(listed["data"], included, seals)})


def _shown(items: list[Json], included: set[str], seals: CurrentSeals) -> list[Json]:
    return [sealed(item, seals) for item in items] if "reasoning.encrypted_content" in included else items


async def _stream(
    request: Request, stream: frames.FrameStream, settings: HttpSettings, headers: dict[str, str]
) -> Response:
    return await sse.stream(request, stream.events(), stream.error, headers, settings)


def _json(body: Json, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), headers=headers, media_type="application/json")
