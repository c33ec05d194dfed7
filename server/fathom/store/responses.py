"""Stored responses, their items and their event logs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple

from sqlalchemy import CTE, ColumnElement, Select, delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from fathom.store.events import EventLog, KeptEvent
from fathom.store.items import Items, Json, can_be_key
from fathom.store.tables import responses, servers

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
UNENDED = ("queued", "in_progress")


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A row. Times are milliseconds since the epoch.

    body: the response in its dialect's words, without `output`, whose items are rows of their own. request: what makes
    it again, kept until it ends. owner: the server that makes it. attempts: how many times it was begun.
    begun: whether output was shown to anyone. next_number: the sequence number after the last event that is stored.
    """

    id: str
    tenant: str
    status: Status
    background: bool
    created_at: int
    expires_at: int
    previous_id: str | None
    body: Json
    request: Json | None = None
    owner: str | None = None
    attempts: int = 0
    begun: bool = False
    next_number: int = 0

    @property
    def ended(self) -> bool:
        return self.status not in UNENDED


class Turn(NamedTuple):
    """One response of a conversation."""

    id: str
    input: list[Json]
    output: list[Json]


class Conversation(NamedTuple):
    """turns: oldest first. missing: the id of an ancestor that is no longer there, and so what came before is not."""

    turns: list[Turn]
    missing: str | None


_COLUMNS = [each.name for each in fields(StoredResponse)]


class ResponseRepository:
    """Takes part in its caller's unit of work. To a tenant, rows of another do not exist."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._items = Items(connection)
        self._log = EventLog(connection)

    async def add(self, row: StoredResponse, items: Sequence[Json], events: Sequence[KeptEvent] = ()) -> None:
        """items: the input, each with an `id`. events: the beginning of its log."""
        values = {name: getattr(row, name) for name in _COLUMNS} | _number(events)
        await self._connection.execute(insert(responses).values(values))
        await self._items.add(row.id, "input", items)
        await self._log.append(row.id, events)

    async def get(self, tenant: str, id: str) -> StoredResponse | None:
        if not can_be_key(id):
            return None
        found = await self._select(_rows().where(_is(tenant, id)))
        return found[0] if found else None

    async def has_ended(self, tenant: str, id: str) -> bool | None:
        """None if it is missing. Reads nothing large, for those who ask again and again."""
        if not can_be_key(id):
            return None
        status = await self._connection.scalar(select(responses.c.status).where(_is(tenant, id)))
        return None if status is None else status not in UNENDED

    async def input(self, id: str) -> list[Json]:
        return await self._items.of(id, "input")

    async def output(self, id: str) -> list[Json]:
        return await self._items.of(id, "output")

    async def events(self, id: str, after: int) -> list[KeptEvent]:
        """Those with a greater number, in order."""
        return await self._log.after(id, after)

    async def items(self, tenant: str, ids: Iterable[str]) -> dict[str, Json]:
        """Items by their ids, from any response. What a model made wins over what a client sent."""
        return await self._items.named(tenant, ids)

    async def conversation(self, tenant: str, id: str, *, limited: bool = False) -> Conversation | None:
        """Up to and with response `id`; None if that is missing. limited: raises PayloadTooLarge where it is longer
        than may be gone on from."""
        if not can_be_key(id):
            return None
        chain = _chain(tenant, id)
        previous = {each: before for each, before in await self._connection.execute(select(chain))}
        if not previous:
            return None
        items = await self._items.of_all(chain, limited=limited)
        turns: list[Turn] = []
        at: str | None = id
        while at is not None and at in previous:
            turns.append(Turn(at, items.get((at, "input"), []), items.get((at, "output"), [])))
            at = previous.pop(at)
        return Conversation(turns[::-1], missing=at)

    async def prolong(self, tenant: str, id: str, expires_at: int, spare: int = 0) -> None:
        """Keep response `id`, and all that it goes on from, until then at least. spare: and so much longer, if one has
        to be written at all, so that not every turn writes all that were before it."""
        chain = select(_chain(tenant, id).c.id)
        locked = select(responses.c.id).where(responses.c.id.in_(chain)).order_by(responses.c.id).with_for_update()
        await self._connection.execute(locked)  # in one order, so that two at a time do not block each other
        await self._update(
            responses.c.id.in_(chain), responses.c.expires_at < expires_at, expires_at=expires_at + spare
        )

    async def delete(self, tenant: str, id: str) -> bool:
        """With its items and events. Whether there was one."""
        if not can_be_key(id):
            return False
        return bool((await self._connection.execute(delete(responses).where(_is(tenant, id)))).rowcount)

    async def claim(self, owner: str, limit: int) -> list[StoredResponse]:
        """Queued responses, now in progress at `owner`; none is given to two. Tenants take turns: the next one is the
        oldest of whoever has the fewest under way."""
        ids = (await self._connection.scalars(_turns().limit(limit))).all()
        waiting = _rows().where(responses.c.id.in_(ids), responses.c.status == "queued")
        oldest = waiting.order_by(responses.c.created_at, responses.c.id)
        rows = await self._select(oldest.with_for_update(skip_locked=True))
        for row in rows:
            await self._update(
                responses.c.id == row.id, status="in_progress", owner=owner, attempts=responses.c.attempts + 1
            )
        return [replace(row, status="in_progress", owner=owner, attempts=row.attempts + 1) for row in rows]

    async def release(self, id: str, owner: str) -> bool:
        """Back into the queue. False if it is not `owner`'s any more, or output was shown since."""
        unseen = responses.c.begun.is_(False)
        return await self._update(*_made_by(owner, id), unseen, status="queued", owner=None)

    async def note(self, id: str, owner: str, events: Sequence[KeptEvent], begun: bool) -> bool:
        """Append to its log. False, and nothing is written, if it has ended or is not `owner`'s any more."""
        begins = {"begun": True} if begun else {}
        noted = await self._update(*_made_by(owner, id), id=id, **_number(events), **begins)
        if noted:
            await self._log.append(id, events)
        return noted

    async def finish(
        self,
        id: str,
        status: Status,
        body: Json,
        output: Sequence[Json],
        expires_at: int,
        owner: str | None,
        events: Sequence[KeptEvent] = (),
    ) -> bool:
        """End it, once. owner: None is whoever has it, or nobody yet. events: the last ones of its log. False, and
        nothing is written, if it has ended before or is not `owner`'s any more."""
        unended = (responses.c.id == id, responses.c.status.in_(UNENDED))
        end = {"status": status, "body": body, "expires_at": expires_at, "request": None, "owner": None}
        finished = await self._update(*(unended if owner is None else _made_by(owner, id)), **end, **_number(events))
        if finished:
            await self._items.add(id, "output", output)
            await self._log.append(id, events)
        return finished

    async def orphans(self) -> list[StoredResponse]:
        """Those in progress whose server is gone."""
        alive = exists().where(servers.c.id == responses.c.owner)
        return await self._select(_rows().where(responses.c.status == "in_progress", ~alive))

    async def owned(self, owner: str) -> list[StoredResponse]:
        """Those that `owner` has in progress."""
        return await self._select(_rows().where(responses.c.status == "in_progress", responses.c.owner == owner))

    async def overdue(self, created_before: int, limit: int) -> list[StoredResponse]:
        """Those that are queued for too long, oldest first."""
        late = _rows().where(responses.c.status == "queued", responses.c.created_at < created_before)
        return await self._select(late.order_by(responses.c.created_at, responses.c.id).limit(limit))

    async def queued(self, tenant: str | None = None) -> int:
        """Of all tenants, or of one."""
        waiting = select(func.count()).where(responses.c.status == "queued")
        if tenant is not None:
            waiting = waiting.where(responses.c.tenant == tenant)
        return await self._connection.scalar(waiting) or 0

    async def sweep(self, now: int, limit: int) -> int:
        """Delete some that have ended and expired. Returns how many."""
        expired = select(responses.c.id).where(responses.c.expires_at < now, responses.c.status.not_in(UNENDED))
        oldest = expired.order_by(responses.c.expires_at).limit(limit).with_for_update(skip_locked=True)
        ids = (await self._connection.scalars(oldest)).all()
        return (await self._connection.execute(delete(responses).where(responses.c.id.in_(ids)))).rowcount

    async def _select(self, query: Select[Any]) -> list[StoredResponse]:
        return [StoredResponse(*row) for row in await self._connection.execute(query)]

    async def _update(self, *conditions: ColumnElement[bool], **values: Any) -> bool:
        return bool((await self._connection.execute(update(responses).where(*conditions).values(values))).rowcount)


def _rows() -> Select[Any]:
    return select(*(responses.c[name] for name in _COLUMNS))


def _is(tenant: str, id: str | ColumnElement[str]) -> ColumnElement[bool]:
    return (responses.c.id == id) & (responses.c.tenant == tenant)


def _made_by(owner: str, id: str) -> tuple[ColumnElement[bool], ...]:
    return responses.c.id == id, responses.c.status == "in_progress", responses.c.owner == owner


def _chain(tenant: str, id: str) -> CTE:
    """Response `id` and all that it goes on from, each with the id of the one before it."""
    first = select(responses.c.id, responses.c.previous_id).where(_is(tenant, id))
    chain: CTE = first.cte("chain", recursive=True)
    before = select(responses.c.id, responses.c.previous_id).where(_is(tenant, chain.c.previous_id))
    joined: CTE = chain.union(before)  # not union_all: a circle, which nobody makes, would never end
    return joined


def _number(events: Sequence[KeptEvent]) -> Json:
    return {"next_number": events[-1].number + 1} if events else {}


def _turns() -> Select[tuple[str]]:
    """Ids of what is queued, in the order in which it is begun."""
    column = responses.c
    busy = (
        select(column.tenant, func.count().label("busy"))
        .where(column.status == "in_progress", column.background)
        .group_by(column.tenant)
        .subquery()
    )
    place = func.row_number().over(partition_by=column.tenant, order_by=(column.created_at, column.id))
    return (
        select(column.id)
        .outerjoin(busy, busy.c.tenant == column.tenant)
        .where(column.status == "queued")
        .order_by(place + func.coalesce(busy.c.busy, 0), column.created_at, column.id)
    )
