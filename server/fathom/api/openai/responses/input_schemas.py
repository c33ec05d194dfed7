"""The items of an input, as clients send them: written by themselves, or an earlier output sent back."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from fathom.api.fields import MOST_PARTS, Open
from fathom.api.tool_use import NAME

Id = Annotated[str, Field(pattern=r"^[!-~]{1,200}$")]
State = Literal["in_progress", "completed", "incomplete"]


class Part(Open):
    """Text. Pictures, sound and files are refused by name. What an output has beside its text says nothing new."""

    type: str
    text: str | None = None
    refusal: str | None = None
    annotations: Any = None
    logprobs: Any = None
    parsed: Any = None


def _as_parts(content: Any) -> Any:
    return [{"type": "input_text", "text": content}] if isinstance(content, str) else content


Parts = Annotated[Annotated[list[Part], Field(fail_fast=True)], BeforeValidator(_as_parts)]


class MessageItem(Open):
    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Parts
    id: Id | None = None
    status: State | None = None
    phase: Any = None


class CallItem(Open):
    """A call that the model made. `arguments` is JSON, as the model wrote it."""

    type: Literal["function_call"]
    call_id: str = Field(min_length=1)
    name: str = Field(pattern=NAME)
    arguments: str
    id: Id | None = None
    status: State | None = None
    parsed_arguments: Any = None


class CallOutputItem(Open):
    type: Literal["function_call_output"]
    call_id: str = Field(min_length=1)
    output: Parts
    id: Id | None = None
    status: State | None = None


class ReasoningItem(Open):
    """A trace of an earlier turn: in the open, or sealed by this server."""

    type: Literal["reasoning"]
    id: Id | None = None
    summary: Parts = Field(default_factory=list)
    content: Parts | None = None
    encrypted_content: str | None = None
    status: State | None = None


class ItemReference(Open):
    """An item that this server keeps, by its id."""

    type: Literal["item_reference"] = "item_reference"
    id: Id


class OtherItem(Open):
    """Calls of built-in tools, and whatever else there may be: refused by name."""

    type: str
    id: Any = None


def few_parts(items: Any) -> Any:
    """The items as they came. Raises where their parts are too many; so it comes before the schema reads each."""
    found = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    lists = [item.get(name) for item in found for name in ("content", "output", "summary")]
    if sum(len(parts) for parts in lists if isinstance(parts, list)) > MOST_PARTS:
        raise PydanticCustomError(
            "too_many_parts", "All items together have at most {most} parts", {"most": MOST_PARTS}
        )
    return items


def _shape(item: Any) -> str | None:
    if not isinstance(item, dict):
        return None
    kind = item.get("type")
    if kind is None:
        return "{item_reference}" if "id" in item and "role" not in item else "{message}"
    known = kind in ("message", "function_call", "function_call_output", "reasoning", "item_reference")
    return f"{{{kind}}}" if known else "{other}"


def _with_type(item: Any) -> Any:
    """null is the same as leaving the type out."""
    if isinstance(item, dict) and "type" in item and item["type"] is None:
        return {name: value for name, value in item.items() if name != "type"}
    return item


InputItem = Annotated[
    Annotated[MessageItem, Tag("{message}")]
    | Annotated[CallItem, Tag("{function_call}")]
    | Annotated[CallOutputItem, Tag("{function_call_output}")]
    | Annotated[ReasoningItem, Tag("{reasoning}")]
    | Annotated[ItemReference, Tag("{item_reference}")]
    | Annotated[OtherItem, Tag("{other}")],
    Discriminator(_shape),
    BeforeValidator(_with_type),
]
"""Tags are never part of a field's name, so that errors do not show them."""


def as_items(given: Any) -> Any:
    """A string is a user's message."""
    return [{"role": "user", "content": given}] if isinstance(given, str) else given
