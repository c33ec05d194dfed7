"""The items of an output while they come: what the stream says of each, and the item as it is now.

What stays the same in every delta of an item is encoded once; a token costs one small JSON string.
"""

from abc import ABC, abstractmethod
from typing import Any, Literal

import msgspec

from fathom.api.openai import shared
from fathom.core.events import TextDelta, TokenLogprob, ToolCallDelta
from fathom.core.ids import new_id

Json = dict[str, Any]
Status = Literal["in_progress", "completed", "incomplete"]

_encode = msgspec.json.encode


Entry = tuple[str, bytes, bytes | None]
"""An event that has no number yet: its kind, and its JSON without the closing brace, as it is shown and as it is kept
(None: it is not)."""


def entry(kind: str, fields: Json, kept: Json | None = None) -> Entry:
    """`kept`: the fields, where others are kept than shown."""
    shown = _encode({"type": kind, **fields})[:-1]
    return kind, shown, shown if kept is None else _encode({"type": kind, **kept})[:-1]


class Output(ABC):
    """`index`: its place in the output."""

    prefix: str

    def __init__(self, index: int) -> None:
        self.id = new_id(self.prefix)
        self.index = index
        self.status: Status = "in_progress"
        self.pieces: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @abstractmethod
    def item(self) -> Json:
        """As it is shown, now."""

    def kept(self) -> Json:
        """As it is kept, now."""
        return self.item()

    @abstractmethod
    def added(self) -> list[Entry]:
        """Its first events."""

    @abstractmethod
    def done(self, status: Status) -> list[Entry]:
        """Its last events."""

    def _event(self, kind: str, **fields: Any) -> Entry:
        return entry(kind, {"item_id": self.id, "output_index": self.index, **fields})

    def _whole(self, kind: str) -> Entry:
        shown, kept = self.item(), self.kept()
        index = {"output_index": self.index}
        return entry(kind, {**index, "item": shown}, None if kept == shown else {**index, "item": kept})

    def _delta_head(self, kind: str, **fields: Any) -> bytes:
        """All of a delta up to its text."""
        head = {"type": kind, "item_id": self.id, "output_index": self.index, **fields, "delta": ""}
        return _encode(head)[: -len(b'""}')]


class MessageOutput(Output):
    prefix = "msg"

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self._logprobs: list[TokenLogprob] = []
        self._head = self._delta_head("response.output_text.delta", content_index=0)

    def take(self, event: TextDelta) -> list[Entry]:
        self.pieces.append(event.text)
        if event.logprobs:
            self._logprobs += event.logprobs
            tail = b',"logprobs":' + _encode([shared.logprob(each) for each in event.logprobs])
        else:
            tail = b',"logprobs":[]'
        delta = self._head + _encode(event.text) + tail
        return [("response.output_text.delta", delta, delta)]

    def item(self) -> Json:
        content = [self._part()] if self.pieces else []
        return {"id": self.id, "type": "message", "status": self.status, "role": "assistant", "content": content}

    def added(self) -> list[Entry]:
        return [
            self._whole("response.output_item.added"),
            self._event("response.content_part.added", content_index=0, part=self._part()),
        ]

    def done(self, status: Status) -> list[Entry]:
        self.status = status
        part = self._part()
        said = {"text": part["text"], "logprobs": part["logprobs"]}
        return [
            self._event("response.output_text.done", content_index=0, **said),
            self._event("response.content_part.done", content_index=0, part=part),
            self._whole("response.output_item.done"),
        ]

    def _part(self) -> Json:
        logprobs = [shared.logprob(each) for each in self._logprobs]
        return {"type": "output_text", "text": self.text, "annotations": [], "logprobs": logprobs}


class CallOutput(Output):
    prefix = "fc"

    def __init__(self, index: int, call_id: str, name: str) -> None:
        super().__init__(index)
        self._call_id, self._name = call_id, name
        self._head = self._delta_head("response.function_call_arguments.delta")

    def take(self, event: ToolCallDelta) -> list[Entry]:
        self.pieces.append(event.arguments)
        delta = self._head + _encode(event.arguments)
        return [("response.function_call_arguments.delta", delta, delta)]

    def item(self) -> Json:
        call = {"call_id": self._call_id, "name": self._name, "arguments": self.text}
        return {"id": self.id, "type": "function_call", "status": self.status, **call}

    def added(self) -> list[Entry]:
        return [self._whole("response.output_item.added")]

    def done(self, status: Status) -> list[Entry]:
        self.status = status
        return [
            self._event("response.function_call_arguments.done", name=self._name, arguments=self.text),
            self._whole("response.output_item.done"),
        ]
