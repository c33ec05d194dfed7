"""What every dialect does with the fields of a request: find the model, refuse by name, name what is ignored; and text
that must become bytes, theirs and ours."""

import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

from fathom.core.engine import ModelCard
from fathom.core.errors import BadRequest, ModelNotFound, UnknownParameter, Unsupported

MOST_PARTS = 16_384
"""Of all messages together. Parts cost far more than their bytes: a body full of empty ones would take seconds of
everybody's time."""


class Open(BaseModel):
    """Fields that we do not know are kept, so that they can be named. A number is a number, and no text or truth value
    that could be read as one."""

    model_config = ConfigDict(extra="allow", strict=True, protected_namespaces=())


def at_most(most: int) -> BeforeValidator:
    """For an object of at most so many entries. Its schema alone would look at every one of them first."""

    def check(value: Any) -> Any:
        if isinstance(value, dict) and len(value) > most:
            raise PydanticCustomError("too_many", "At most {most} entries are allowed", {"most": most})
        return value

    return BeforeValidator(check)


def adapter_of(model: str, card: ModelCard) -> str | None:
    """The LoRA adapter that a model id names, or None for the model itself. Raises ModelNotFound."""
    if model == card.id:
        return None
    if model in card.adapters:
        return model
    raise ModelNotFound(model, card.id)


def encodable(text: str, param: str) -> str:
    """The text itself. Raises BadRequest if it cannot be UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRequest("The text has half of a surrogate pair in it. Send whole characters.", param=param) from None
    return text


def few_parts(messages: Any) -> Any:
    """What a client sent as messages, as it is. Raises where their parts, and the parts of those, are too many; so it
    has to come before the schema makes something of each."""
    parts = [part for message in _items(messages) for part in _items(_content(message))]
    if len(parts) + sum(len(_items(_content(part))) for part in parts) > MOST_PARTS:
        raise PydanticCustomError(
            "too_many_parts", "All messages together have at most {most} parts", {"most": MOST_PARTS}
        )
    return messages


def _content(value: Any) -> Any:
    return value.get("content") if isinstance(value, dict) else None


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def printable(text: str, most: int) -> str:
    """At most so many characters of it; what cannot be UTF-8 is escaped."""
    return text[:most].encode("utf-8", "backslashreplace").decode()


def refuse(
    body: BaseModel,
    refused: Mapping[str, tuple[Any, ...]],
    instead: Mapping[str, str] | None = None,
    *,
    inside: str = "",
) -> None:
    """Raise Unsupported for a field that is set to something other than one of its harmless values.

    instead: by field, why not and what to do. inside: what comes before the names of the fields, as in "text.".
    """
    for field, harmless in refused.items():
        value, name = getattr(body, field), inside + field
        if value is not None and value not in harmless:
            why = (instead or {}).get(name, "this server cannot do it")
            said = value if isinstance(value, str) else reprlib.repr(value)
            raise Unsupported(f"{name} = {said[:80]} is not supported: {why}. Leave {name} out.", param=name)


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


def _extras(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from (path + ascii(name)[1:-1] for name in value.model_extra or {})
        for name in value.model_fields_set & type(value).model_fields.keys():
            yield from _extras(getattr(value, name), f"{path}{name}.")
    elif isinstance(value, list) and value and isinstance(value[0], BaseModel | list):  # and no list of token ids
        for at, item in enumerate(value):
            yield from _extras(item, f"{path}{at}.")
