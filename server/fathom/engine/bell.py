"""How outputs reach those who wait for them: all of one step together."""

import asyncio
from collections.abc import Callable
from typing import Protocol

Write = Callable[[], None]


class Listener(Protocol):
    def take(self) -> Write | None:
        """Takes the output that is there, and gives what writes it; None, where it leaves it to the one who waits."""

    def fail(self, error: Exception) -> None:
        """It could not be taken, or not be written."""


class Rung:
    """Bells that rang since the event loop's last turn.

    They are heard in one go, and what was taken is written in one go behind that: code that runs many times in a row is
    in the CPU's caches, and writing wakes clients, which on the same machine take its place there.
    """

    def __init__(self) -> None:
        self._bells: list[Bell] = []

    def add(self, bell: "Bell") -> None:
        if not self._bells:
            bell.loop.call_soon(self._hear)
        self._bells.append(bell)

    def _hear(self) -> None:
        rung, self._bells = self._bells, []
        for bell, write in [(bell, write) for bell in rung if (write := bell.heard())]:
            bell.attempt(write)


class Bell(asyncio.Event):
    """What vLLM tells that there is an output, in place of the event of a RequestOutputCollector. One may wait for it.

    listener: who may take it before the one who waits is woken.
    """

    def __init__(self, rung: Rung, listener: Listener) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.listener: Listener | None = listener
        self._rung = rung
        self._waits: asyncio.Future[None] | None = None

    def set(self) -> None:
        if self._waits and not self._waits.done():
            self._rung.add(self)

    def rings(self) -> asyncio.Future[None]:
        """Done with the next output that is not taken. What is there already is not waited for: it has to be looked for
        first."""
        self._waits = self.loop.create_future()
        return self._waits

    def heard(self) -> Write | None:
        """What writes the output, if it was taken."""
        if self._waits is None or self._waits.done():
            return None
        write = self.attempt(self.listener.take) if self.listener else None
        if write is None:
            self._waits.set_result(None)
        return write

    def attempt(self, step: Callable[[], Write | None]) -> Write | None:
        """A step of taking or writing. What it raises fails its own request, and none of the others in the round."""
        try:
            return step()
        except Exception as error:  # noqa: BLE001 - a bug of ours or a connection's: raised by whoever waits
            if self.listener:
                self.listener.fail(error)
            return None
