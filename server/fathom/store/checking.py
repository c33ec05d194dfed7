"""What can be wrong with a database that answers."""

import zlib
from collections.abc import AsyncIterator, Collection
from typing import Any

import msgspec
from sqlalchemy import Column, ColumnElement, Select, Text, and_, exists, func, select, text, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection

from fathom.store.events import unpack
from fathom.store.responses import UNENDED
from fathom.store.tables import keys, response_events, response_items, responses, revisions

_ENDED = ("completed", "incomplete", "failed", "cancelled")
_SHOWN = 10  # ids of one kind of problem


async def problems(connection: AsyncConnection) -> list[str]:
    """A line each, with the ids of the responses, or keys."""
    found = await _damage(connection)
    for what, query in _contradictions().items():
        found += _line(what, (await connection.scalars(query.limit(_SHOWN + 1))).all())
    for column, id in (
        (responses.c.body, responses.c.id),
        (responses.c.request, responses.c.id),
        (keys.c.scopes, keys.c.id),
        (keys.c.limits, keys.c.id),
    ):
        found += _line(f"{column.name} cannot be read", await _unreadable(connection, column, id))
    found += _line("items cannot be read", await _unreadable(connection, response_items.c.data, _OF_ITEM))
    found += _line("events cannot be read", {id async for id in _broken_segments(connection)})
    return found


_OF_ITEM = response_items.c.response_id
_OF_EVENT = response_events.c.response_id


def _line(what: str, ids: Collection[str]) -> list[str]:
    more = " and more" if len(ids) > _SHOWN else ""
    return [f"{what}: {', '.join(sorted(ids)[:_SHOWN])}{more}"] if ids else []


async def _damage(connection: AsyncConnection) -> list[str]:
    if connection.dialect.name != "sqlite":
        return []  # PostgreSQL's own tools look for damage: pg_checksums, pg_amcheck
    lines = await connection.scalars(text(f"PRAGMA integrity_check({_SHOWN})"))
    return [line for line in lines if line != "ok"]


def _contradictions() -> dict[str, Select[str]]:
    row, item, event = responses.c, response_items.c, response_events.c
    later = response_events.alias().c
    overlap = exists().where(
        later.response_id == event.response_id, later.first > event.first, later.first <= event.last
    )
    counted = (revisions.c.name == "keys") & (revisions.c.number >= keys.c.revision)
    return {
        "unknown status": _those(row.status.not_in(_ENDED + UNENDED)),
        "ended, but with a request or a server": _those(
            row.status.in_(_ENDED), row.request.is_not(None) | row.owner.is_not(None)
        ),
        "in progress at no server": _those(row.status == "in_progress", row.owner.is_(None)),
        "queued, but with a server or without a request": _those(
            row.status == "queued", row.owner.is_not(None) | row.request.is_(None)
        ),
        "not ended, but with output": _those(
            row.status.in_(UNENDED), exists().where(item.response_id == row.id, item.direction == "output")
        ),
        "items are missing": select(item.response_id)
        .group_by(item.response_id, item.direction)
        .having(func.count() != func.max(item.position) + 1),
        "items without a response": _lost(item.response_id),
        "events without a response": _lost(event.response_id),
        "events overlap": select(event.response_id).where(overlap).distinct(),
        "keys that no server sees change": select(keys.c.id).where(~exists().where(counted)).order_by(keys.c.id),
        "events behind the last one": _those(
            exists().where(event.response_id == row.id, event.last >= row.next_number)
        ),
    }


def _those(*conditions: ColumnElement[bool]) -> Select[str]:
    return select(responses.c.id).where(and_(*conditions)).order_by(responses.c.id)


def _lost(response_id: ColumnElement[str]) -> Select[str]:
    return select(response_id).where(~exists().where(responses.c.id == response_id)).distinct()


async def _unreadable(connection: AsyncConnection, column: Column[Any], id: Column[str]) -> set[str]:
    found = await connection.stream(select(id, type_coerce(column, Text)).where(column.is_not(None)))
    return {id async for id, value in found if not _is_json(value)}


def _is_json(value: str) -> bool:
    try:
        msgspec.json.decode(value)
    except msgspec.DecodeError:
        return False
    return True


async def _broken_segments(connection: AsyncConnection) -> AsyncIterator[str]:
    async for id, first, last, data in await connection.stream(
        select(*response_events.c["response_id", "first", "last", "data"])
    ):
        try:
            numbers = [event.number for event in unpack(data)]
        except (zlib.error, msgspec.DecodeError):
            numbers = []
        if numbers != sorted(set(numbers)) or numbers[:1] != [first] or numbers[-1:] != [last]:
            yield id
