"""How outputs reach those who wait for them: all of one step together."""

import asyncio
from collections.abc import Callable
from typing import Protocol

Write = Callable[[], None]


class Listener(Protocol):
    def give(self, ids: list[int]) -> bool:
        """Tokens that come without an output, for take() to find. False if it would not take them; then it has not."""

    def keep(self) -> None:
        """What was given and not taken becomes an output, which the next one follows."""

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
        self._bells: dict[Bell, None] = {}

    def add(self, bell: "Bell") -> None:
        if not self._bells:
            bell.loop.call_soon(self._hear)
        self._bells[bell] = None

    def _hear(self) -> None:
        rung, self._bells = self._bells, {}
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

    def give(self, ids: list[int]) -> bool:
        """What comes is tokens alone. False if it has to come as an output."""
        if not (self._waiting() and self.listener and self.listener.give(ids)):
            return False
        self._rung.add(self)
        return True

    def keep(self) -> None:
        """An output is to come, and finds what was given in front of it."""
        if self.listener:
            self.listener.keep()

    def set(self) -> None:
        if self._waiting():
            self._rung.add(self)

    def rings(self) -> asyncio.Future[None]:
        """Done with the next output that is not taken. What is there already is not waited for: it has to be looked for
        first."""
        self._waits = self.loop.create_future()
        return self._waits

    def heard(self) -> Write | None:
        """What writes the output, if it was taken."""
        waits = self._waiting()
        if waits is None:
            return None
        write = self.attempt(self.listener.take) if self.listener else None
        if write is None:
            waits.set_result(None)
        return write

    def _waiting(self) -> "asyncio.Future[None] | None":
        return self._waits if self._waits and not self._waits.done() else None

    def attempt(self, step: Callable[[], Write | None]) -> Write | None:
        """A step of taking or writing. What it raises fails its own request, and none of the others in the round."""
        try:
            return step()
        except Exception as error:  # noqa: BLE001 - a bug of ours or a connection's: raised by whoever waits
            if self.listener:
                self.listener.fail(error)
            return None
