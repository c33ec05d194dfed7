"""The way out: nothing new is taken, what is under way may finish, and what does not in time is told so."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from fathom.core.engine import Phase
from fathom.core.errors import ServiceError, ShuttingDown
from fathom.engine.supervisor import Supervisor

log = structlog.get_logger()

_LOOK_EVERY = 0.05


class Work(Protocol):
    """What this server makes for its clients, of one kind."""

    @property
    def live(self) -> int:
        """How much of it is under way."""

    def end(self, error: ServiceError) -> None:
        """Whatever of it is under way fails with this error, at once."""


class Drain:
    """grace: seconds that what is under way gets to finish."""

    def __init__(self, supervisor: Supervisor, works: Sequence[Work], grace: float) -> None:
        self._supervisor, self._works, self._grace = supervisor, works, grace
        self._begun = False

    @property
    def leaving(self) -> bool:
        """This server ends soon: whoever waits for what others may do had better wait elsewhere."""
        return self._begun or self._supervisor.phase is Phase.FAILED

    async def __call__(self, reason: str) -> None:
        """Returns when nothing is under way any more. The server goes on to answer all that needs no engine."""
        began, live = time.monotonic(), self._live
        self._begun = True
        self._supervisor.drain()
        log.warning("draining", reason=reason, live=live, grace=self._grace, hint="a second signal ends it at once")
        with suppress(TimeoutError):
            async with asyncio.timeout(self._grace):
                await self._finished()
        cut = self._live
        self._cut()
        log.info("drained", finished=max(live - cut, 0), cut=cut, seconds=round(time.monotonic() - began, 1))

    @property
    def _live(self) -> int:
        return sum(work.live for work in self._works)

    async def _finished(self) -> None:
        while self._live:  # noqa: ASYNC110 - each kind of work only counts
            await asyncio.sleep(_LOOK_EVERY)

    def _cut(self) -> None:
        error = ShuttingDown(
            f"This server is shutting down, and this was not finished within its grace time of {self._grace:g} s "
            "(http.shutdown_grace). Send the request again, to another server or when this one is back.",
            retry_after=5.0,
        )
        for work in self._works:
            work.end(error)
