"""Counts what is used, and writes it to the store in batches, so that no request waits for that."""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

import structlog

from fathom.core.errors import StoreUnavailable
from fathom.core.tenant import Caller
from fathom.core.usage import Amounts, Place
from fathom.store.database import Database

log = structlog.get_logger()

EVERY = 1.0
"""Seconds between two writes."""

FRESH = 5.0
"""Seconds after which what other servers have used is read again."""

_LAST_TRIES = 3


class Ledger:
    """model: what is served. What is counted is in the store within seconds, and before the server ends; a server that
    is killed loses the last of it."""

    def __init__(self, database: Database, model: Callable[[], str]) -> None:
        self._database, self._model = database, model
        self._unwritten: dict[Place, Amounts] = defaultdict(Amounts)
        self._underway: dict[Place, Amounts] = {}  # to the store
        self._written: dict[
            tuple[str, str], tuple[int, float]
        ] = {}  # by key and first day: tokens, and when it was read
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def add(self, caller: Caller, adapter: str | None, used: Amounts) -> None:
        """Of one request."""
        place = Place(today(), caller.tenant.id, caller.key or "", adapter or self._model())
        self._unwritten[place].add(used)

    async def spent(self, caller: Caller) -> int:
        """Tokens that its key has used in this period of its budget: here until now, at other servers until seconds
        ago. Raises StoreUnavailable where that was not known before."""
        assert caller.key, "a budget is a key's"
        since = today() if caller.limits.period == "day" else f"{today()[:7]}-01"
        written, at = self._written.get((caller.key, since), (0, -math.inf))
        if time.monotonic() - at > FRESH:
            try:
                async with self._turn, self._database.reading() as work:
                    written = await work.usage.tokens(caller.key, since)
                    self._written[caller.key, since] = written, time.monotonic()
            except StoreUnavailable:
                if at < 0:
                    raise
        ours = (*self._unwritten.items(), *self._underway.items())
        return written + sum(used.tokens for place, used in ours if place.key == caller.key)

    async def between(
        self, first: str, last: str, *, tenant: str | None = None, key: str | None = None
    ) -> list[tuple[Place, Amounts]]:
        """By day, tenant, key and model, with what is not yet written. Raises StoreUnavailable."""
        if self._unwritten:
            await self.flush()
        async with self._database.reading() as work:
            return await work.usage.between(first, last, tenant=tenant, key=key)

    def start(self) -> None:
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Write what is left; what cannot be written is told to the log."""
        async with self._turn:  # never in the middle of a write
            if self._task:
                self._task.cancel()
        for _ in range(_LAST_TRIES):
            await self.flush()
            if not self._unwritten:
                return
            await asyncio.sleep(EVERY)
        for place, used in self._unwritten.items():
            log.error("usage lost", **asdict(place), **asdict(used))

    async def flush(self) -> None:
        """What the store does not take is kept for the next time."""
        async with self._turn:
            self._underway, self._unwritten = self._unwritten, defaultdict(Amounts)
            try:
                if self._underway:
                    async with self._database.transaction() as work:
                        await work.usage.add(self._underway)
                    self._count_written()
                self._underway = {}
            except StoreUnavailable as error:
                log.warning("usage not written yet", rows=len(self._underway), reason=error.message)
            finally:
                for place, used in self._underway.items():
                    self._unwritten[place].add(used)
                self._underway = {}

    def _count_written(self) -> None:
        """What is known of budgets, with what has just been written; those of earlier days are forgotten."""
        for (key, since), (written, at) in list(self._written.items()):
            if since < today() and not since.endswith("-01"):
                del self._written[key, since]
                continue
            new = sum(used.tokens for place, used in self._underway.items() if place.key == key and place.day >= since)
            self._written[key, since] = written + new, at

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            if self._unwritten:
                await self.flush()


def today() -> str:
    return datetime.now(UTC).date().isoformat()
