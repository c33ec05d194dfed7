"""Rows to store, and a look at what is stored that goes past the repositories."""

from dataclasses import replace
from typing import Any

from fathom.core.tenant import Limits, Scope
from fathom.store.database import Database
from fathom.store.events import KeptEvent
from fathom.store.keys import StoredKey
from fathom.store.responses import StoredResponse
from fathom.store.tables import metadata
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

TENANT = "us"


def queued(id: str = "resp_1", **fields: Any) -> StoredResponse:
    row = StoredResponse(
        id=id,
        tenant=TENANT,
        status="queued",
        background=True,
        created_at=1000,
        expires_at=9000,
        previous_id=None,
        body={"id": id},
        request={"input": "hi"},
    )
    return replace(row, **fields)


def running(id: str = "resp_1", owner: str = "server-1", **fields: Any) -> StoredResponse:
    return queued(id, status="in_progress", owner=owner, attempts=1, **fields)


def done(id: str = "resp_1", **fields: Any) -> StoredResponse:
    return queued(id, **{"status": "completed", "request": None, **fields})


def item(id: str, text: str = "") -> dict[str, Any]:
    return {"id": id, "type": "message", "content": text}


def events(*numbers: int) -> list[KeptEvent]:
    return [KeptEvent(number, "delta", b'{"n":%d}' % number) for number in numbers]


def key(id: str = "key_1", **fields: Any) -> StoredKey:
    """Its hashes begin with its id."""
    row = StoredKey(
        id=id,
        tenant=TENANT,
        name="a key",
        prefix="fk-abcd",
        hash=id.encode() + b"\0\xff",
        scopes=frozenset({Scope.INFERENCE, Scope.ADMIN}),
        weight=1.5,
        limits=Limits(requests_per_minute=60, period="day"),
        created_at=1000,
    )
    return replace(row, **fields)


async def add_keys(database: Database, *rows: StoredKey) -> list[StoredKey]:
    """In units of work of their own. Returns them with their revisions."""
    added = []
    for row in rows:
        async with database.transaction() as work:
            added.append(replace(row, revision=await work.keys.next_revision()))
            await work.keys.add(added[-1])
    return added


async def add(database: Database, *rows: StoredResponse, **more: Any) -> None:
    async with database.transaction() as work:
        for row in rows:
            await work.responses.add(row, more.get("items", []), more.get("events", []))


async def get(database: Database, id: str = "resp_1", tenant: str = TENANT) -> StoredResponse | None:
    async with database.reading() as work:
        return await work.responses.get(tenant, id)


async def dump(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        return {
            table.name: sorted(tuple(map(repr, row)) for row in await connection.execute(select(table)))
            for table in metadata.sorted_tables
        }


async def meddle(url: str, *statements: str) -> None:
    """Change the database behind the server's back; PostgreSQL does not look at foreign keys meanwhile."""
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            await connection.execute(text("SET session_replication_role = replica"))
        for statement in statements:
            await connection.execute(text(statement))
