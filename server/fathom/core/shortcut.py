"""The short way of a streamed token: from the engine's output to the connection, with no task to wake on the way.

A stream is a chain of generators, and a task on top that asks it for one frame after the other. To wake that task and
to pass all generators twice is a good part of what a token costs. So while the task waits for the engine, all that came
before has been sent, and what comes next may be sent from below: the same functions see the same events in the same
order. Whatever is more than a delta, and all that comes while the client does not read, takes the long way.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from fathom.core.events import Event


class Outlet(Protocol):
    """Where frames go. open: one can be written at once."""

    @property
    def open(self) -> bool: ...

    def write(self, frame: bytes) -> None: ...


class Shortcut:
    """Of one stream with one choice. frame: what an event is to the client, if it is anything."""

    def __init__(self, frame: Callable[[Event], bytes | None]) -> None:
        self._frame = frame
        self._see: Callable[[Event], None] | None = None
        self._outlet: Outlet | None = None

    def begin(self, see: Callable[[Event], None]) -> None:
        """From its first piece on: see is told of each event before it is sent."""
        self._see = see

    def lead_to(self, outlet: Outlet) -> None:
        """Its headers have left."""
        self._outlet = outlet

    @property
    def open(self) -> bool:
        """Whether events may be sent, by one who knows that the task on top waits for them."""
        return self._see is not None and self._outlet is not None and self._outlet.open

    def close(self) -> None:
        """It leads nowhere, and holds nothing."""
        self._see = self._outlet = None

    def take(self, events: Sequence[Event]) -> Callable[[], None]:
        """Deltas, while it is open. What writes them, which has to be called before anything else happens."""
        see, outlet = self._see, self._outlet
        assert see is not None, "it is open"
        assert outlet is not None, "it is open"
        frames = b""
        for event in events:
            see(event)
            frames += self._frame(event) or b""
        return partial(outlet.write, frames) if frames else _nothing


def _nothing() -> None:
    pass
