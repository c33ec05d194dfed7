"""Background responses: queued in the store, run a few at a time, oldest first, by whichever server is free."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import replace

import structlog

from fathom.core.errors import ServiceError, StoreUnavailable
from fathom.core.events import Event
from fathom.core.tenant import Caller
from fathom.serving.generate import Generate
from fathom.serving.responses.draft import Dialect
from fathom.serving.responses.history import history
from fathom.serving.responses.recorder import Recorder
from fathom.serving.responses.run import Run
from fathom.store.database import Database
from fathom.store.responses import StoredResponse
from fathom.telemetry import record

Callers = Callable[[str | None, str], Caller]

log = structlog.get_logger()

EVERY = 1.0
"""Seconds between two looks into the queue, which other servers fill, too."""

MOST_ATTEMPTS = 3
"""A response that was begun so often and never got anywhere is not begun again."""

_TIRED = ServiceError(f"This response was begun {MOST_ATTEMPTS} times, and each time the server ended before it did.")


class Queue:
    """callers: who asked, by the id of their key and their tenant; raises ServiceError where they would not be let in
    any more. ready: whether the engine takes requests."""

    def __init__(
        self,
        database: Database,
        recorder: Recorder,
        generate: Generate,
        dialect: Dialect,
        callers: Callers,
        *,
        owner: str,
        slots: int,
        ready: Callable[[], bool],
    ) -> None:
        self._database, self._recorder, self._generate, self._dialect = database, recorder, generate, dialect
        self._callers, self._owner, self._slots, self._ready = callers, owner, slots, ready
        self._news = asyncio.Event()
        self._empty: int | None = None  # the database when nothing was queued

    def tell(self) -> None:
        """There is a new response, or a free slot."""
        self._news.set()

    async def work(self) -> None:
        """Run what is queued, for ever."""
        while True:
            self._news.clear()
            try:
                await self._fill()
            except StoreUnavailable as error:
                log.warning("queue", reason=error.message)
            except Exception:  # a bug of ours must not end the queue for all; what it left is found by the upkeep
                log.exception("queue")
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY):  # wait_for of Python 3.11 may swallow that we are cancelled
                    await self._news.wait()

    async def _fill(self) -> None:
        free = self._slots - self._recorder.background
        if free <= 0 or not self._ready():
            return
        stamp = self._database.stamp()
        if stamp is not None and stamp == self._empty:
            return
        async with self._database.reading() as work:
            if not await work.responses.queued():
                self._empty = stamp
                return
        async with self._database.transaction() as work:
            claimed = await work.responses.claim(self._owner, free)
        for stored in claimed:
            try:
                self._begin(stored)
            except Exception:  # a bug of ours costs the response that has it; the upkeep finds it
                log.exception("response cannot be begun", response_id=stored.id)

    def _begin(self, stored: StoredResponse) -> None:
        run = Run(stored.id, stored.tenant, self._dialect.transcript(stored), background=True)
        run.open(run.transcript.started())
        self._recorder.watch(run)
        run.start(self._events(stored), self._recorder.tell)

    async def _events(self, stored: StoredResponse) -> AsyncGenerator[Event]:
        if stored.attempts > MOST_ATTEMPTS:
            raise _TIRED.with_traceback(None)
        assert stored.request is not None, "a response that has not ended has its request"
        caller = self._callers(stored.request.get("key"), stored.tenant)
        if caller.key:
            record.note(key=caller.key, tenant=stored.tenant)
        items = await history(self._database, stored.tenant, stored.previous_id)
        request = self._dialect.generation(stored, items, f"{stored.id}-{stored.attempts}")
        async with aclosing(self._generate(replace(request, caller=caller))) as events:
            async for event in events:
                yield event
