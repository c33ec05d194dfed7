"""The trace as an item of the output, while it comes."""

from dataclasses import dataclass
from typing import Any

import msgspec

from fathom.api.openai.responses.outputs import Entry, Output, Status
from fathom.api.openai.responses.traces import Keeping, as_kept, sealed
from fathom.core.events import ReasoningDelta
from fathom.serving.sealing import Seals

Json = dict[str, Any]

_TEXT, _SUMMARY = "response.reasoning_text", "response.reasoning_summary_text"


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """visible: the client wants to see it. summary: as the item's summary, too. seals: by whom it is sealed for the
    client to send back, if that was asked. keeping: the setting store.traces."""

    visible: bool = True
    summary: bool = False
    seals: Seals | None = None
    keeping: Keeping = "keep"


class ReasoningOutput(Output):
    """Of a trace that the client does not want to see, there is the item and no text."""

    prefix = "rs"

    def __init__(self, index: int, options: TraceOptions) -> None:
        super().__init__(index)
        self._options = options
        self._final: Json | None = None
        self._heads = [(f"{_TEXT}.delta", self._delta_head(f"{_TEXT}.delta", content_index=0))]
        if options.summary:
            self._heads.append((f"{_SUMMARY}.delta", self._delta_head(f"{_SUMMARY}.delta", summary_index=0)))

    def take(self, event: ReasoningDelta) -> list[Entry]:
        self.pieces.append(event.text)
        if not self._options.visible:
            return []
        text = msgspec.json.encode(event.text)
        return [self._private(kind, head + text) for kind, head in self._heads]

    def item(self) -> Json:
        return self._final or self._item(self.text if self._options.visible else "")

    def kept(self) -> Json:
        if self._options.keeping == "keep":
            return self.item()
        return as_kept(self._item(self.text), self._options.keeping)

    def added(self) -> list[Entry]:
        return [self._whole("response.output_item.added"), *self._parts("added", "")]

    def done(self, status: Status) -> list[Entry]:
        self.status = status
        self._final = self._finished()
        texts = []
        if self._options.visible:
            texts.append(self._text(f"{_TEXT}.done", content_index=0, text=self.text))
            if self._options.summary:
                texts.append(self._text(f"{_SUMMARY}.done", summary_index=0, text=self.text))
        return [*texts, *self._parts("done", self.text), self._whole("response.output_item.done")]

    def _item(self, text: str) -> Json:
        return {
            "id": self.id,
            "type": "reasoning",
            "summary": [_part("summary_text", text)] if text and self._options.summary else [],
            "content": [_part("reasoning_text", text)] if text else [],
            "status": self.status,
        }

    def _finished(self) -> Json:
        whole = self._item(self.text)
        if self._options.seals:
            whole = sealed(whole, self._options.seals)
        return whole if self._options.visible else whole | {"summary": [], "content": []}

    def _parts(self, step: str, text: str) -> list[Entry]:
        if not self._options.visible:
            return []
        kind = f"response.content_part.{step}"
        parts = [self._text(kind, content_index=0, part=_part("reasoning_text", text))]
        if self._options.summary:
            kind = f"response.reasoning_summary_part.{step}"
            parts.append(self._text(kind, summary_index=0, part=_part("summary_text", text)))
        return parts

    def _text(self, kind: str, **fields: Any) -> Entry:
        _, shown, _ = self._event(kind, **fields)
        return self._private(kind, shown)

    def _private(self, kind: str, shown: bytes) -> Entry:
        """An event that is kept if traces are."""
        return kind, shown, shown if self._options.keeping == "keep" else None


def _part(kind: str, text: str) -> Json:
    return {"type": kind, "text": text}
