"""What the OpenAI routes share."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from fathom.api import errors
from fathom.core.engine import ModelCard
from fathom.core.errors import ModelNotFound, ServiceError, UnknownParameter, Unsupported
from fathom.core.events import Finished


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


def refuse(body: BaseModel, refused: Mapping[str, tuple[Any, ...]], instead: Mapping[str, str] | None = None) -> None:
    """Raise Unsupported for a field that is set to something other than one of its harmless values.

    instead: by field, why not and what to do.
    """
    for name, harmless in refused.items():
        value = getattr(body, name)
        if value is not None and value not in harmless:
            why = (instead or {}).get(name, "this server cannot do it")
            raise Unsupported(f"{name} = {str(value)[:80]} is not supported: {why}. Leave {name} out.", param=name)


def ignored_header(body: BaseModel, strict: bool = False) -> dict[str, str]:
    """A header that names the fields, at any depth, that this server does not know. Raises UnknownParameter instead
    where it is `strict`."""
    extra = sorted(set(_extras(body)))
    if extra and strict:
        raise UnknownParameter(
            f"This server does not know {', '.join(extra)[:300]}, and is set to refuse unknown fields (http.strict). "
            "Leave them out.",
            param=extra[0][:100],
        )
    return {"x-fathom-ignored-params": ", ".join(extra)[:500]} if extra else {}


def usage(finished: Sequence[Finished]) -> dict[str, Any]:
    """Of all choices of one request. The prompt is counted once, and what was cached of it before any choice ran."""
    prompt_tokens = finished[0].prompt_tokens
    completion_tokens = sum(each.completion_tokens for each in finished)
    cached_tokens = min(each.cached_tokens for each in finished)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": sum(each.reasoning_tokens for each in finished)},
        "prompt_cache_hit_tokens": cached_tokens,
        "prompt_cache_miss_tokens": prompt_tokens - cached_tokens,
    }


def _extras(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from (path + name for name in value.model_extra or {} if name.isascii() and name.isprintable())
        for name in value.model_fields_set & type(value).model_fields.keys():
            yield from _extras(getattr(value, name), f"{path}{name}.")
    elif isinstance(value, list) and value and isinstance(value[0], BaseModel | list):  # and no list of token ids
        for at, item in enumerate(value):
            yield from _extras(item, f"{path}{at}.")
