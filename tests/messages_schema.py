"""Checks of Anthropic's Messages bodies: the types of its SDK taken strictly, and what clients rely on beyond them."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from anthropic.types import Message, MessageTokensCount
from anthropic.types.shared import ErrorResponse
from pydantic import BaseModel, TypeAdapter, ValidationError

from tests.schemas.published import Json, numbered

ORDER = ("thinking", "redacted_thinking", "text", "tool_use")
PRESENT = ("content", "id", "model", "role", "stop_reason", "stop_sequence", "type", "usage")
COUNTS = ("cache_creation_input_tokens", "cache_read_input_tokens", "input_tokens", "output_tokens")
TOO_LARGE = "request_too_large"  # in Anthropic's documentation, but not in its SDK


def check_message(body: Json) -> None:
    """A whole message, also one that was joined from its stream."""
    check_opening(body)
    _check_blocks(body["content"])
    _check_stop(body)


def check_opening(body: Json) -> None:
    """A message of which the content may still be missing."""
    validate(Message, body)
    for name in PRESENT:
        assert name in body, f"{name}: missing"
    for name in COUNTS:
        assert isinstance(body["usage"].get(name), int), f"usage.{name}: {body['usage'].get(name)}"
    assert body["id"].startswith("msg_"), f"id: {body['id']!r} does not begin with msg_"


def check_token_count(body: Json) -> None:
    validate(MessageTokensCount, body)
    assert body["input_tokens"] > 0, "input_tokens: none"


def check_error(body: Json) -> None:
    known = {**body, "error": {**body["error"], "type": "invalid_request_error"}} if _is_too_large(body) else body
    validate(ErrorResponse, known)
    assert body["error"]["message"].strip(), "error.message: empty"


def validate(kind: Any, body: Any) -> None:
    """`body` is of this type, without conversions and without fields that it does not know."""
    try:
        value = _adapter(kind).validate_python(body, strict=True)
    except ValidationError as error:
        raise AssertionError(_told(error)) from None
    for path in _unknown(value):
        raise AssertionError(f"{path}: unknown to Anthropic's SDK")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _told(error: ValidationError) -> str:
    """The first fault in the branch of a union that `type` chose, where it chose one."""
    faults = error.errors()
    misfits = [fault for fault in faults if fault["loc"][-1:] == ("type",)]
    others = [fault["loc"][:-1] for fault in misfits]
    ours = [fault for fault in faults if not any(fault["loc"][: len(each)] == each for each in others)]
    first = (ours or misfits)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _unknown(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from (f"{path}.{name}".lstrip(".") for name in value.model_extra or {})
        for name in type(value).model_fields:
            yield from _unknown(getattr(value, name), f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for inner, each in numbered(value, path):
            yield from _unknown(each, inner)


def _is_too_large(body: Json) -> bool:
    error = body.get("error")
    return isinstance(error, dict) and error.get("type") == TOO_LARGE


def _check_blocks(content: list[Json]) -> None:
    kinds = [block["type"] for block in content]
    assert set(kinds) <= set(ORDER), f"content: its blocks are {', '.join(kinds)}"
    assert kinds == sorted(kinds, key=ORDER.index), f"content: its order is {', '.join(kinds)}"
    ids = [block["id"] for block in content if block["type"] == "tool_use"]
    assert len(set(ids)) == len(ids), "content: ids of tool_use are not unique"
    for path, block in numbered(content, "content"):
        if block["type"] == "thinking":
            assert block["signature"], f"{path}.signature: empty"
        text = block.get(block["type"])
        omitted = block["type"] == "thinking" and text == ""  # the client asked for a signature alone
        assert text is None or omitted or text.strip(), f"{path}.{block['type']}: no text in it"


def _check_stop(body: Json) -> None:
    reason, sequence = body["stop_reason"], body["stop_sequence"]
    calls = any(block["type"] == "tool_use" for block in body["content"])
    assert reason is not None, "stop_reason: null"
    assert calls or reason != "tool_use", "stop_reason: tool_use without a call"
    assert not calls or reason in ("tool_use", "max_tokens"), f"stop_reason: {reason} with a call"
    assert (sequence is not None) == (reason == "stop_sequence"), f"stop_sequence: {sequence!r} with {reason}"
