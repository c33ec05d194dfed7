"""What serving asks of the dialect whose responses it keeps. Items and bodies are JSON objects in its words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from fathom.core.errors import ServiceError
from fathom.core.events import Event
from fathom.core.generation import GenerationRequest
from fathom.store.responses import StoredResponse as StoredResponse  # dialects know it from here

Json = dict[str, Any]


class Frame(NamedTuple):
    """An event of a response's stream.

    kind: the event's type. number: its sequence number. data: its JSON, for the client that made the request.
    kept: its JSON as it is stored and shown to later readers; None is not stored (see the setting store.traces).
    """

    kind: str
    number: int
    data: bytes
    kept: bytes | None


class Transcript(Protocol):
    """A response while it is made: takes the engine's events, gives the stream's frames, numbered without gaps."""

    @property
    def terminal(self) -> bool:
        """Whether the last frame of the stream was made."""

    def created(self) -> list[Frame]:
        """The first frames, before anything runs."""

    def started(self) -> list[Frame]:
        """Once a slot is found and the engine was asked."""

    def take(self, event: Event) -> list[Frame]:
        """The frames of one event; the stream's last one comes last of all."""

    def fail(self, error: ServiceError) -> list[Frame]:
        """Close what is open, and end as failed."""

    def cancel(self) -> list[Frame]:
        """Close what is open, and end as cancelled."""

    def body(self) -> Json:
        """The response as it is now, as it is kept: with its `status` and its `output` items."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A response that is to be made.

    request: what is needed to make it again after a restart, with every item that it refers to written out.
    items: the input as it is kept; each has an `id`, unique in its conversation. generation: for the engine.
    """

    id: str
    tenant: str
    previous_id: str | None
    request: Json
    items: Sequence[Json]
    generation: GenerationRequest
    transcript: Transcript


class Dialect(Protocol):
    """How a stored response is taken up again by a server that did not make its draft."""

    def transcript(self, stored: StoredResponse) -> Transcript:
        """As it was stored; its frames are numbered from `stored.next_number` on."""

    def generation(self, stored: StoredResponse, history: Sequence[Json], generation_id: str) -> GenerationRequest:
        """For the engine. history: the items of the conversation before it, oldest first. Raises ServiceError if it
        can't be made any more."""
