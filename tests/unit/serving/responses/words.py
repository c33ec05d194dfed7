"""The smallest dialect that serving can keep: a response is its words, and each of them is an event."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

import msgspec
from fathom.core.errors import ServiceError
from fathom.core.events import Event, Finished, ReasoningDelta, TextDelta
from fathom.core.generation import GenerationRequest, Text
from fathom.core.ids import new_id
from fathom.core.tenant import EVERYONE
from fathom.serving.responses.draft import Draft, Frame, Json
from fathom.store.responses import StoredResponse


@dataclass
class Words:
    """Traces are told to whoever asked, and not kept."""

    id: str
    status: str = "in_progress"
    number: int = 0
    words: list[str] = field(default_factory=list)
    error: str | None = None

    @property
    def terminal(self) -> bool:
        return self.status not in ("queued", "in_progress")

    def created(self) -> list[Frame]:
        return [self._frame("created", response=self.body())]

    def started(self) -> list[Frame]:
        self.status = "in_progress"
        return [self._frame("started", response=self.body())]

    def take(self, event: Event) -> list[Frame]:
        match event:
            case ReasoningDelta(text):
                return [self._frame("thought", text=text)._replace(kept=None)]
            case TextDelta(text):
                self.words.append(text)
                return [self._frame("word", text=text)]
            case Finished():
                return self._end("completed")
        return []

    def fail(self, error: ServiceError) -> list[Frame]:
        self.error = error.message
        return self._end("failed")

    def cancel(self) -> list[Frame]:
        return self._end("cancelled")

    def body(self) -> Json:
        output = [{"id": f"item_{self.id}", "text": " ".join(self.words)}] if self.words else []
        return {"id": self.id, "status": self.status, "error": self.error, "output": output}

    def _end(self, status: str) -> list[Frame]:
        self.status = status
        return [self._frame(status, response=self.body())]

    def _frame(self, kind: str, **fields: object) -> Frame:
        data = msgspec.json.encode({"number": self.number, **fields})
        self.number += 1
        return Frame(kind, self.number - 1, data, data)


class WordsDialect:
    """Taken up again, a response forgets what it had said."""

    def transcript(self, stored: StoredResponse) -> Words:
        return Words(stored.id, stored.status, stored.next_number)

    def generation(self, stored: StoredResponse, history: Sequence[Json], generation_id: str) -> GenerationRequest:
        assert stored.request is not None
        said = [item["text"] for item in history]
        return GenerationRequest(generation_id, Text(" ".join([*said, stored.request["text"]])))


def draft(text: str = "hello", *, queued: bool = False, previous: str | None = None) -> Draft:
    id = new_id("resp")
    return Draft(
        id=id,
        tenant=EVERYONE.id,
        previous_id=previous,
        request={"text": text},
        items=[{"id": f"in_{id}", "text": text}],
        generation=GenerationRequest(id, Text(text)),
        transcript=Words(id, "queued" if queued else "in_progress"),
    )


def told(frames: Sequence[Frame]) -> list[str]:
    """Words as they are, other events by their kind."""
    return [msgspec.json.decode(each.data).get("text", each.kind) for each in frames]


async def until_word(frames: AsyncGenerator[Frame], word: str) -> list[Frame]:
    """Up to and with this word, or event."""
    came: list[Frame] = []
    async for frame in frames:
        came.append(frame)
        if told([frame]) == [word]:
            return came
    raise AssertionError(f"{word} never came: {told(came)}")
