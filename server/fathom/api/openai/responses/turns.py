"""Kept items to the canonical messages: what an assistant thought, said and called in one go is one message."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fathom.core.generation import Message, ToolCall

Json = dict[str, Any]


@dataclass(slots=True)
class _Turn:
    """An assistant's, while its items come."""

    traces: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    last: str = ""

    def take(self, item: Json) -> None:
        self.last = item["type"]
        match item["type"]:
            case "reasoning":
                self.traces += [part["text"] for part in item.get("content") or []]
            case "message":
                self.texts.append(_content(item))
            case "function_call":
                self.calls.append(ToolCall(item["call_id"], item["name"], item["arguments"]))

    def message(self) -> Message:
        trace = "\n\n".join(self.traces) or None
        return Message("assistant", "".join(self.texts), reasoning=trace, tool_calls=tuple(self.calls))


def to_messages(items: Sequence[Json]) -> Iterator[Message]:
    turn: _Turn | None = None
    for item in items:
        if turn and _begins_anew(turn, item):
            yield turn.message()
            turn = None
        if _is_assistants(item):
            turn = turn or _Turn()
            turn.take(item)
        elif item["type"] == "function_call_output":
            yield Message("tool", item["output"], tool_call_id=item["call_id"])
        else:
            yield Message(item["role"], _content(item))
    if turn:
        yield turn.message()


def begins_turn(item: Json) -> bool:
    """Whether it is a user's message: a conversation can be cut before it."""
    return bool(item["type"] == "message" and item["role"] == "user")


def instructs(item: Json) -> bool:
    return bool(item["type"] == "message" and item["role"] in ("system", "developer"))


def _is_assistants(item: Json) -> bool:
    return item["type"] in ("reasoning", "function_call") or item.get("role") == "assistant"


def _begins_anew(turn: _Turn, item: Json) -> bool:
    """Two messages in a row are two turns."""
    return not _is_assistants(item) or (item["type"] == "message" and turn.last == "message")


def _content(item: Json) -> str:
    return "".join(part["text"] for part in item["content"])
