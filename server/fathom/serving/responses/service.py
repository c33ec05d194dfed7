"""Responses that are kept: making them, and whatever clients do with them later."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing, suppress

from fathom.core.clock import now
from fathom.core.errors import BadRequest, NotFound, RateLimitExceeded, ShuttingDown, StoreUnavailable
from fathom.core.events import Queued
from fathom.core.tenant import Tenant
from fathom.serving.generate import Generate
from fathom.serving.responses.draft import Dialect, Draft, Frame, Json
from fathom.serving.responses.ending import end
from fathom.serving.responses.history import history, items
from fathom.serving.responses.queue import Callers, Queue
from fathom.serving.responses.recorder import Recorder
from fathom.serving.responses.run import Run
from fathom.serving.responses.upkeep import Upkeep
from fathom.serving.server_id import server_id
from fathom.settings import StoreSettings
from fathom.store.database import Database
from fathom.store.events import KeptEvent
from fathom.store.responses import Status, StoredResponse

_SHARES = 30  # of the retention: earlier turns are kept one to two of them longer than a new one is when it begins
_LOOK_EVERY = 0.25  # seconds, for a response that another server makes or that waits
_RETRY_AFTER = 5.0


class Responses:
    """callers: who asked, by the id of their key and their tenant (Access.again). ready: whether the engine takes
    requests. leaving: whether this server ends soon.

    Everything that touches the store raises StoreUnavailable.
    """

    def __init__(
        self,
        database: Database,
        generate: Generate,
        dialect: Dialect,
        settings: StoreSettings,
        callers: Callers,
        ready: Callable[[], bool],
        leaving: Callable[[], bool],
    ) -> None:
        self._database, self._generate, self._dialect, self._settings = database, generate, dialect, settings
        self._leaving = leaving
        self._owner = server_id()
        self._recorder = Recorder(database, self._owner, self._expiry)
        self._queue = Queue(
            database,
            self._recorder,
            generate,
            dialect,
            callers,
            owner=self._owner,
            slots=settings.background_slots,
            ready=ready,
        )
        self._recorder.freed = self._queue.tell
        self._upkeep = Upkeep(
            database,
            dialect,
            owner=self._owner,
            expiry=self._expiry,
            wait=settings.background_wait,
            runs=self._recorder.ids,
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take over what an earlier server left, then work in the background."""
        await self._upkeep.round()
        work = (self._recorder.work(), self._recorder.give_up(), self._queue.work(), self._upkeep.work())
        self._tasks = [asyncio.create_task(each) for each in work]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._recorder.stop()
        with suppress(StoreUnavailable):
            await self._upkeep.leave()

    async def conversation(self, tenant: Tenant, previous_id: str | None) -> list[Json]:
        """Items of all responses up to `previous_id`, oldest first. Raises BadRequest where one is missing."""
        return await history(self._database, tenant.id, previous_id)

    async def items(self, tenant: Tenant, ids: Collection[str]) -> dict[str, Json]:
        """Stored items by id; those that are not there are left out."""
        async with self._database.reading() as work:
            return await work.responses.items(tenant.id, ids)

    async def begin(self, draft: Draft) -> AsyncGenerator[Queued | Run]:
        """Make it now: how it stands as long as it waits, then its run. That is when the engine has accepted it and its
        row is stored; of one that nobody waited for so long, nothing is kept."""
        events = self._generate(draft.generation)
        try:
            while isinstance(accepted := await anext(events), Queued):
                yield accepted
            run = Run(draft.id, draft.tenant, draft.transcript, background=False)
            run.open([*draft.transcript.created(), *draft.transcript.started(), *draft.transcript.take(accepted)])
            await self._add(draft, "in_progress", self._owner, run.unsaved())
        except BaseException:
            await events.aclose()
            raise
        run.saved(run.mark, begun=True)
        self._recorder.watch(run)
        run.start(events, self._recorder.tell)
        yield run

    async def enqueue(self, draft: Draft) -> None:
        """Make it when its turn comes. Returns once its row is stored. Raises ShuttingDown and RateLimitExceeded."""
        if self._leaving():
            raise ShuttingDown(
                "This server is shutting down and takes no new responses. Send it again, to another server or when "
                "this one is back.",
                retry_after=_RETRY_AFTER,
            )
        await self._check_queue(draft.tenant)
        self._generate.count(draft.generation.caller)
        frames = draft.transcript.created()
        await self._add(draft, "queued", None, [KeptEvent(each.number, each.kind, each.kept or b"") for each in frames])
        self._queue.tell()

    async def _check_queue(self, tenant: str) -> None:
        async with self._database.reading() as work:
            queued, most = await work.responses.queued(tenant), self._settings.background_queue
        if queued >= most:
            raise RateLimitExceeded(
                f"{queued} background responses of yours are queued, and {most} may be (store.background_queue). Wait "
                "until some have ended.",
                retry_after=_RETRY_AFTER,
            )

    async def get(self, tenant: Tenant, response_id: str) -> Json:
        """As it is now. Raises NotFound."""
        run = self._recorder.find(tenant.id, response_id)
        if run and run.showable:
            return run.transcript.body()
        if run and (run.ended or run.transcript.terminal):
            await run.wait()  # what is told as done must be stored
        async with self._database.reading() as work:
            stored = await work.responses.get(tenant.id, response_id)
            if stored is None:
                raise _missing(response_id)
            output = await work.responses.output(response_id)
        return {**stored.body, "status": stored.status, "output": output}

    async def cancel(self, tenant: Tenant, response_id: str) -> Json:
        """Raises NotFound, and BadRequest for one that is not made in the background. One that has ended stays so."""
        stored = await self._stored(tenant, response_id)
        if not stored.background:
            raise BadRequest(
                "Only a background response can be cancelled. To end another one, close its connection.",
                param="response_id",
            )
        run = self._recorder.find(tenant.id, response_id)
        if run:
            run.stop("cancelled")
            await run.wait()
        if not stored.ended and (not run or run.ending == "released"):
            await end(self._database, self._dialect, stored, lambda one: one.cancel(), self._expiry(), None)
            if run := self._recorder.find(tenant.id, response_id):  # it was begun just then
                run.lose()
        return await self.get(tenant, response_id)

    async def delete(self, tenant: Tenant, response_id: str) -> None:
        """With its items and events; it is ended first. Raises NotFound."""
        async with self._database.transaction() as work:
            if not await work.responses.delete(tenant.id, response_id):
                raise _missing(response_id)
        if run := self._recorder.find(tenant.id, response_id):
            run.stop("lost")

    async def input_items(self, tenant: Tenant, response_id: str) -> list[Json]:
        """All that it was made from: its conversation, then its own input. Raises NotFound."""
        async with self._database.reading() as work:
            conversation = await work.responses.conversation(tenant.id, response_id)
        if conversation is None:
            raise _missing(response_id)
        return [*items(conversation.turns[:-1]), *conversation.turns[-1].input]

    async def exists(self, tenant: Tenant, response_id: str) -> None:
        """Raises NotFound, so that a stream of it can be refused by status."""
        await self._stored(tenant, response_id)

    async def follow(self, tenant: Tenant, response_id: str, after: int) -> AsyncGenerator[Frame]:
        """Its frames with a number above `after`, as they are kept, as they come, to the last one. Raises NotFound, and
        ShuttingDown where this server ends and the response goes on."""
        while True:
            run = self._recorder.find(tenant.id, response_id)
            if run and run.first <= after + 1:
                async with aclosing(run.follow(after)) as frames:
                    async for frame in frames:
                        after = frame.number
                        yield frame
                if run.told:
                    return
            ended, events = await self._read_on(tenant, response_id, after)
            for event in events:
                after = event.number
                yield Frame(event.kind, event.number, event.data, event.data)
            if ended:
                return
            if self._leaving() and not self._recorder.find(tenant.id, response_id):
                raise _goes_on(response_id, after)
            await asyncio.sleep(_LOOK_EVERY)

    async def _read_on(self, tenant: Tenant, response_id: str, after: int) -> tuple[bool, list[KeptEvent]]:
        async with self._database.reading() as work:
            ended = await work.responses.has_ended(tenant.id, response_id)
            if ended is None:
                raise _missing(response_id)
            return ended, await work.responses.events(response_id, after)

    async def _stored(self, tenant: Tenant, response_id: str) -> StoredResponse:
        async with self._database.reading() as work:
            stored = await work.responses.get(tenant.id, response_id)
        if stored is None:
            raise _missing(response_id)
        return stored

    async def _add(self, draft: Draft, status: Status, owner: str | None, events: list[KeptEvent]) -> None:
        body = draft.transcript.body()
        body.pop("output")
        row = StoredResponse(
            id=draft.id,
            tenant=draft.tenant,
            status=status,
            background=status == "queued",
            created_at=now(),
            expires_at=self._expiry(),
            previous_id=draft.previous_id,
            body=body,
            request={**draft.request, "key": draft.generation.caller.key},
            owner=owner,
            begun=owner is not None,
        )
        async with self._database.transaction() as work:
            await work.responses.add(row, draft.items, events)
            if draft.previous_id:  # what a conversation goes through lives as long as its newest turn, which ends later
                spare = self._retention // _SHARES
                await work.responses.prolong(draft.tenant, draft.previous_id, row.expires_at + spare, spare)

    def _expiry(self) -> int:
        return now() + self._retention

    @property
    def _retention(self) -> int:
        """Milliseconds."""
        return round(self._settings.retention_days * 86_400_000)


def _missing(response_id: str) -> NotFound:
    return NotFound(f"There is no response {response_id[:100]!r} here.", param="response_id")


def _goes_on(response_id: str, after: int) -> ShuttingDown:
    resume = "?stream=true" if after < 0 else f"?stream=true&starting_after={after}"
    return ShuttingDown(
        "This server is shutting down, and the response goes on without it: another server makes it, or this one when "
        f"it is back. Resume its stream there with GET /v1/responses/{response_id}{resume}.",
        retry_after=_RETRY_AFTER,
    )
