"""Counts what is used, and writes it to the store in batches, so that no request waits for that."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from fathom.core.errors import StoreUnavailable
from fathom.core.tenant import Caller
from fathom.core.usage import Amounts, Place
from fathom.store.database import Database

log = structlog.get_logger()

EVERY = 1.0
"""Seconds between two writes."""


class Ledger:
    """model: what is served. What is counted is in the store within seconds, and before the server ends; a server that
    is killed loses the last of it."""

    def __init__(self, database: Database, model: Callable[[], str]) -> None:
        self._database, self._model = database, model
        self._unwritten: dict[Place, Amounts] = defaultdict(Amounts)
        self._underway: dict[Place, Amounts] = {}  # to the store
        self._written: dict[tuple[str, str], int] = {}  # tokens by key and first day of its period, as the store has it
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def add(self, caller: Caller, adapter: str | None, used: Amounts) -> None:
        """Of one request."""
        place = Place(today(), caller.tenant.id, caller.key or "", adapter or self._model())
        self._unwritten[place].add(used)

    async def spent(self, caller: Caller) -> int:
        """Tokens that its key has used in this period of its budget, at all servers. Raises StoreUnavailable where that
        was not known before."""
        assert caller.key, "a budget is a key's"
        since = today() if caller.limits.period == "day" else f"{today()[:7]}-01"
        if (caller.key, since) not in self._written:
            async with self._turn, self._database.reading() as work:
                self._written[caller.key, since] = await work.usage.tokens(caller.key, since)
        ours = (*self._unwritten.items(), *self._underway.items())
        return self._written[caller.key, since] + sum(used.tokens for place, used in ours if place.key == caller.key)

    async def between(
        self, first: str, last: str, *, tenant: str | None = None, key: str | None = None
    ) -> list[tuple[Place, Amounts]]:
        """By day, tenant, key and model, with what is not yet written. Raises StoreUnavailable."""
        await self.flush()
        async with self._database.reading() as work:
            return await work.usage.between(first, last, tenant=tenant, key=key)

    def start(self) -> None:
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Write what is left."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()

    async def flush(self) -> None:
        """What the store does not take is kept for the next time."""
        async with self._turn:
            self._underway, self._unwritten = self._unwritten, defaultdict(Amounts)
            try:
                self._written = await self._write()
                self._underway = {}
            except StoreUnavailable as error:
                log.warning("usage not written yet", rows=len(self._underway), reason=error.message)
            finally:
                for place, used in self._underway.items():
                    self._unwritten[place].add(used)
                self._underway = {}

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            if self._unwritten:
                await self.flush()

    async def _write(self) -> dict[tuple[str, str], int]:
        """Returns what the store has of the budgets that are watched, other servers' usage among it."""
        watched = [(key, since) for key, since in self._written if since >= today()[:7]]
        async with self._database.transaction() as work:
            await work.usage.add(self._underway)
            return {(key, since): await work.usage.tokens(key, since) for key, since in watched}


def today() -> str:
    return datetime.now(UTC).date().isoformat()
