"""What the OpenAI routes share."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from fathom.api import errors
from fathom.core.engine import ModelCard
from fathom.core.errors import ModelNotFound, ServiceError, Unsupported


def error_frame(error: ServiceError) -> bytes:
    """An error in the middle of a stream. No [DONE] follows it."""
    return b"data: " + errors.body(error) + b"\n\n"


def adapter_of(model: str, card: ModelCard) -> str | None:
    """The LoRA adapter that a model id names, or None for the model itself. Raises ModelNotFound."""
    if model == card.id:
        return None
    if model in card.adapters:
        return model
    raise ModelNotFound(model, card.id)


def refuse(body: BaseModel, refused: dict[str, tuple[Any, ...]], why: str) -> None:
    """Raise Unsupported for a field that is set to something other than one of its harmless values."""
    for name, harmless in refused.items():
        value = getattr(body, name)
        if value is not None and value not in harmless:
            raise Unsupported(f"{name} = {str(value)[:80]} is not supported: {why}. Leave {name} out.", param=name)


def ignored_header(body: BaseModel) -> dict[str, str]:
    """Names the fields, at any depth, that this server does not know and did not use."""
    extra = sorted(set(_extras(body)))
    return {"x-fathom-ignored-params": ", ".join(extra)[:500]} if extra else {}


def _extras(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from (path + name for name in value.model_extra or {} if name.isascii() and name.isprintable())
        for name in value.model_fields_set & type(value).model_fields.keys():
            yield from _extras(getattr(value, name), f"{path}{name}.")
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _extras(item, f"{path}{at}.")
