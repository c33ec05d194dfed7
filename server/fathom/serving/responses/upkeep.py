"""What has to be done now and then: say that this server lives, take over from servers that are gone, forget."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence

import structlog

from fathom.core.clock import now
from fathom.core.errors import ServiceError, StoreUnavailable
from fathom.serving.responses.draft import Dialect
from fathom.serving.responses.ending import end
from fathom.serving.responses.queue import MOST_ATTEMPTS
from fathom.serving.responses.run import STOPPED
from fathom.serving.server_id import ended_here
from fathom.store.database import Database
from fathom.store.responses import StoredResponse
from fathom.telemetry import metrics

log = structlog.get_logger()

EVERY = 10.0
"""Seconds between two rounds."""

LEASE = 30.0
"""Seconds without a sign of life after which a server is taken for gone. By our own clock: theirs may be wrong."""

_SWEEP_EVERY = 300.0
_AT_A_TIME = 200


class Upkeep:
    """wait: seconds that a response may be queued. runs: ids of the responses that this server knows it is making."""

    def __init__(
        self,
        database: Database,
        dialect: Dialect,
        *,
        owner: str,
        expiry: Callable[[], int],
        wait: float,
        runs: Callable[[], Collection[str]],
    ) -> None:
        self._database, self._dialect = database, dialect
        self._owner, self._expiry, self._wait, self._runs = owner, expiry, wait, runs
        self._strays: set[str] = set()
        self._seen: dict[str, tuple[int, float]] = {}  # of other servers: their last sign, and when it was new to us
        self._swept = -_SWEEP_EVERY

    async def work(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.round()
            except StoreUnavailable as error:
                log.warning("upkeep", reason=error.message)
            except Exception:  # a bug of ours must not end it: others would take this server for gone
                log.exception("upkeep")

    async def round(self) -> None:
        """Everything once."""
        await self._bury()
        async with self._database.reading() as work:
            orphans, ours = await work.responses.orphans(), await work.responses.owned(self._owner)
            overdue = await work.responses.overdue(now() - round(self._wait * 1000), _AT_A_TIME)
            metrics.RESPONSES_QUEUED.set(await work.responses.queued())
        await _each([*orphans, *self._astray(ours)], self._take)
        await self._expire(overdue)
        await self._sweep()

    async def leave(self) -> None:
        """The server ends: others need not wait for its lease."""
        async with self._database.transaction() as work:
            await work.servers.remove(self._owner)

    async def _bury(self) -> None:
        async with self._database.transaction() as work:
            await work.servers.beat(self._owner, now())
            for server, seen in (await work.servers.all()).items():
                if server != self._owner and self._gone(server, seen):
                    log.warning("another server is gone", server=server)
                    await work.servers.remove(server)

    def _gone(self, server: str, seen: int) -> bool:
        now = time.monotonic()
        if self._seen.get(server, (None, 0.0))[0] != seen:
            self._seen[server] = (seen, now)
        return ended_here(server) or now - self._seen[server][1] > LEASE

    async def _take(self, stored: StoredResponse) -> None:
        again = stored.background and not stored.begun and stored.attempts < MOST_ATTEMPTS
        done = await (self._release(stored) if again else self._fail(stored, STOPPED))
        if done:
            metrics.RESPONSES_TAKEN_OVER.labels(outcome="queued" if again else "failed").inc()
            log.info("response taken over", response_id=stored.id, outcome="queued" if again else "failed")

    def _astray(self, ours: Sequence[StoredResponse]) -> list[StoredResponse]:
        """Rows of ours that no run makes, seen twice: whoever was to make them left while they were written, or the
        database wrote them and could not say so."""
        before, runs = self._strays, self._runs()
        self._strays = {stored.id for stored in ours} - set(runs)
        return [stored for stored in ours if stored.id in self._strays & before]

    async def _expire(self, overdue: Sequence[StoredResponse]) -> None:
        """Queued for too long."""
        reason = f"This response expired: it was queued for more than {self._wait:g} seconds (store.background_wait)."
        await _each(overdue, lambda stored: self._fail(stored, ServiceError(reason)))

    async def _sweep(self) -> None:
        if time.monotonic() - self._swept < _SWEEP_EVERY:
            return
        self._swept = time.monotonic()
        swept = _AT_A_TIME
        while swept == _AT_A_TIME:  # in pieces, so that others can write in between
            async with self._database.transaction() as work:
                swept = await work.responses.sweep(now(), _AT_A_TIME)
            metrics.RESPONSES_SWEPT.inc(swept)

    async def _release(self, stored: StoredResponse) -> bool:
        assert stored.owner is not None
        async with self._database.transaction() as work:
            return await work.responses.release(stored.id, stored.owner)

    async def _fail(self, stored: StoredResponse, error: ServiceError) -> bool:
        return await end(
            self._database, self._dialect, stored, lambda one: one.fail(error), self._expiry(), stored.owner
        )


async def _each(rows: Sequence[StoredResponse], do: Callable[[StoredResponse], Awaitable[object]]) -> None:
    """A row that a bug of ours trips over must not keep the others, or a start, waiting."""
    for stored in rows:
        try:
            await do(stored)
        except StoreUnavailable:
            raise
        except Exception:  # a bug of ours costs the row that has it
            log.exception("response cannot be ended", response_id=stored.id)
