"""The database: SQLite in a file, or PostgreSQL. Everything that is kept goes through a Work of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass

from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from fathom.core.errors import StartupError
from fathom.settings import Settings
from fathom.store import checking, engines
from fathom.store.errors import driver_errors, startup_errors
from fathom.store.keys import KeyRepository
from fathom.store.migrations import HEAD
from fathom.store.responses import ResponseRepository
from fathom.store.secrets import SecretRepository
from fathom.store.servers import ServerRepository
from fathom.store.stamp import Stamps
from fathom.store.usage import UsageRepository
from fathom.telemetry import metrics

_DEADLINE = 20.0  # seconds that a unit of work may take, waiting included
_MIGRATING = int.from_bytes(b"fathom")  # what servers that migrate at the same time lock


@dataclass(frozen=True, slots=True)
class Work:
    """One unit of work: repositories that share a transaction."""

    responses: ResponseRepository
    keys: KeyRepository
    servers: ServerRepository
    secrets: SecretRepository
    usage: UsageRepository

    @classmethod
    def on(cls, connection: AsyncConnection) -> "Work":
        return cls(
            ResponseRepository(connection),
            KeyRepository(connection),
            ServerRepository(connection),
            SecretRepository(connection),
            UsageRepository(connection),
        )


class Database:
    """Nothing is opened until `start`. name: its URL, without its password."""

    def __init__(self, url: str) -> None:
        """Raises StartupError if the URL is none."""
        parsed = engines.parse(url)
        self.name = parsed.set(query={}).render_as_string(hide_password=True)
        self._file = engines.file_of(parsed)
        self._writer, self._reader = engines.make(parsed)
        self._stamps = Stamps(self._file) if self._file else None
        self._turn = asyncio.Lock() if self._file else nullcontext()  # SQLite has one writer; ours take turns, in order

    async def start(self) -> None:
        """Reach the database and bring it to the last revision; an empty one is filled. Raises StartupError."""
        with startup_errors(self.name):
            if self._file:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                if not self._file.exists():
                    self._file.touch(0o600)
            if await self._revision() != HEAD:
                await self._migrate()

    async def stop(self) -> None:
        if self._stamps:
            self._stamps.close()
        await self._reader.dispose()
        await self._writer.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Work]:
        """Committed when the block ends, wholly undone when it raises. Never one inside another.

        Raises StoreUnavailable and StoreFull, then nothing was written.
        """
        with metrics.STORE_TRANSACTION.labels("write").time(), driver_errors():
            async with asyncio.timeout(_DEADLINE), self._turn, self._writer.begin() as connection:
                yield Work.on(connection)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Work]:
        """The database as it is at one moment; waits for no writer. Raises StoreUnavailable."""
        with metrics.STORE_TRANSACTION.labels("read").time(), driver_errors():
            async with asyncio.timeout(_DEADLINE), self._reader.begin() as connection:
                yield Work.on(connection)

    async def check(self) -> list[str]:
        """What is wrong with it, a line each; nothing is changed. Raises StartupError if it can't be reached."""
        with startup_errors(self.name):
            if self._file and not self._file.exists():
                raise StartupError("there is no such file; `fathom migrate` makes it")
            revision = await self._revision()
            if revision != HEAD:
                return [f"its revision is {revision or 'none'}, this Fathom needs {HEAD}: run `fathom migrate`"]
            async with self._reader.begin() as connection:
                return await checking.problems(connection)

    def stamp(self) -> int | None:
        """The same as an earlier one: nothing was written in between. None: whoever wants to know has to look."""
        return self._stamps.take() if self._stamps else None

    async def _revision(self) -> str | None:
        async with asyncio.timeout(_DEADLINE), self._reader.begin() as connection:
            return await connection.run_sync(_revision)

    async def _migrate(self) -> None:
        async with self._writer.begin() as connection:
            if not self._file:
                await connection.execute(select(func.pg_advisory_xact_lock(_MIGRATING)))
            await connection.run_sync(_to_head)


def url_of(settings: Settings) -> str:
    """`store.url`, or SQLite's file under `home`."""
    return settings.store.url or f"sqlite+aiosqlite:///{settings.home / 'fathom.db'}"


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _to_head(connection: Connection) -> None:
    found = _revision(connection)
    if found != HEAD:  # another server may have been faster
        from fathom.store import migrating

        migrating.upgrade(connection, found)
