"""GET /v1/models and /v1/models/{id}."""

from typing import Any

from fastapi import APIRouter

from fathom.api.dependencies import CurrentCard
from fathom.api.openai.shared import adapter_of
from fathom.core.engine import ModelCard

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("")
async def list_models(card: CurrentCard) -> dict[str, Any]:
    """The served model, and its LoRA adapters."""
    return {"object": "list", "data": [_model(model, card) for model in (card.id, *card.adapters)]}


@router.get("/{model:path}")
async def retrieve_model(model: str, card: CurrentCard) -> dict[str, Any]:
    """One of them."""
    adapter_of(model, card)
    return _model(model, card)


def _model(model: str, card: ModelCard) -> dict[str, Any]:
    parent = {"parent": card.id} if model in card.adapters else {}
    return {
        "id": model,
        "object": "model",
        "created": card.created,
        "owned_by": "fathom",
        "max_model_len": card.context_length,
        **parent,
    }
