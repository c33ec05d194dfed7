"""POST /tokenize and /detokenize."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, Response

from fathom.api.dependencies import CurrentCard, CurrentSettings, CurrentSupervisor
from fathom.api.json_body import JsonRoute
from fathom.api.openai import shared
from fathom.api.openai.tokenize import translate
from fathom.api.openai.tokenize.schemas import DetokenizeRequest, TokenizeRequest
from fathom.engine.supervisor import Supervisor
from fathom.telemetry import record

_AT_ONCE = 256

router = APIRouter(tags=["tokens"], route_class=JsonRoute)


@router.post("/tokenize")
async def tokenize(
    body: TokenizeRequest, card: CurrentCard, settings: CurrentSettings, supervisor: CurrentSupervisor
) -> Response:
    """The token ids that the model would read: of a text, or of a chat through its template."""
    shared.adapter_of(body.model, card)
    record.note(model=body.model)
    headers = shared.ignored_header(body, settings.http.strict)
    tokenized = await supervisor.tokenize(*translate.to_prompt(body))
    answer: dict[str, Any] = {
        "count": len(tokenized.ids),
        "max_model_len": card.context_length,
        "tokens": tokenized.ids,
        "token_strs": await _texts(supervisor, tokenized.ids) if body.return_token_strs else None,
    }
    if body.return_prompt:
        answer["prompt"] = tokenized.text
    return _json(answer, headers)


@router.post("/detokenize")
async def detokenize(
    body: DetokenizeRequest, card: CurrentCard, settings: CurrentSettings, supervisor: CurrentSupervisor
) -> Response:
    """The text of token ids, special tokens spelled out."""
    shared.adapter_of(body.model, card)
    record.note(model=body.model)
    headers = shared.ignored_header(body, settings.http.strict)
    return _json({"prompt": await supervisor.detokenize(body.tokens)}, headers)


async def _texts(supervisor: Supervisor, ids: Sequence[int]) -> list[str]:
    """Each token by itself."""
    known = {}
    for at, token_id in enumerate(set(ids)):
        known[token_id] = await supervisor.detokenize([token_id])
        if at % _AT_ONCE == 0:
            await asyncio.sleep(0)  # a vocabulary is large, and others wait
    return [known[token_id] for token_id in ids]


def _json(answer: dict[str, Any], headers: dict[str, str]) -> Response:
    return Response(msgspec.json.encode(answer), headers=headers, media_type="application/json")
