"""The blocks of a message while the model writes it: thinking, text, tool_use."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from fathom.core.events import Piece, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStart
from fathom.serving.sealing import Seals


@dataclass(slots=True)
class Block:
    """`id` and `name` are a call's."""

    kind: Literal["thinking", "text", "tool_use"]
    index: int
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def whole(self) -> bool:
        """Whether nothing has to follow. The arguments of a call are JSON in the end, unless the message is cut."""
        if self.kind != "tool_use":
            return True
        try:
            json.loads(self.text, parse_constant=_refuse, parse_int=str)
        except (ValueError, RecursionError):
            return False
        return True

    def opening(self) -> dict[str, Any]:
        """As it begins in a stream."""
        match self.kind:
            case "thinking":
                return {"type": "thinking", "thinking": "", "signature": ""}
            case "text":
                return {"type": "text", "text": ""}
            case "tool_use":
                return {"type": "tool_use", "id": self.id, "name": self.name, "input": {}}

    def body(self, seals: Seals, omit: bool) -> dict[str, Any]:
        match self.kind:
            case "thinking":
                shown = "" if omit else self.text
                return self.opening() | {"thinking": shown, "signature": signature(self.text, seals, omit)}
            case "text":
                return self.opening() | {"text": self.text}
            case "tool_use":
                return self.opening() | {"input": msgspec.Raw(self.text.encode())}


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def signature(trace: str, seals: Seals, omit: bool) -> str:
    """What brings the trace back: its signature, or, where the client is not shown it, the trace itself, sealed."""
    return seals.seal(trace) if omit else seals.sign(trace)


class Blocks:
    """All blocks of a message, in the order in which they began. None is blank: clients send them back, and Anthropic
    takes no blank text."""

    def __init__(self) -> None:
        self.all: list[Block] = []
        self._calls: dict[int, Block] = {}
        self._blank = ""  # white space that waits for something to stand before

    def take(self, piece: Piece) -> Block | None:
        """Add a piece to the block that it belongs to, which may be a new one. None: it waits."""
        match piece:
            case ReasoningDelta(text):
                return self._add("thinking", text)
            case TextDelta(text):
                return self._answer(text)
            case ToolCallStart(call, call_id, name):
                self._calls[call] = self._begin(Block("tool_use", len(self.all), call_id, name))
                return self._calls[call]
            case ToolCallDelta(call, arguments):
                self._calls[call].pieces.append(arguments)
                return self._calls[call]

    def _answer(self, text: str) -> Block | None:
        if self.all and self.all[-1].kind == "text":
            return self._add("text", text)
        self._blank += text
        return self._add("text", self._blank) if self._blank.strip() else None

    def _add(self, kind: Literal["thinking", "text"], text: str) -> Block:
        last = self.all[-1] if self.all else None
        block = last if last and last.kind == kind else self._begin(Block(kind, len(self.all)))
        block.pieces.append(text)
        return block

    def _begin(self, block: Block) -> Block:
        self._blank = ""
        self.all.append(block)
        return block
