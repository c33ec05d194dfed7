"""SQLAlchemy's engines: of each database one that writes and one that reads."""

import asyncio
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiosqlite
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from fathom.core.errors import StartupError

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_CONNECTIONS = 10  # to PostgreSQL
_READERS = 4  # of SQLite, each a thread
_BUSY = 15.0  # seconds that another process may keep SQLite's lock
_TURN = 0.02  # seconds between two tries to be the one who makes a database
_CONNECTING = 10.0  # seconds

_WRITING = (
    "PRAGMA synchronous = FULL",  # what was committed survives a power cut
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_size_limit = 67108864",  # what a burst of writes leaves of the log
)
_READING = ("PRAGMA query_only = ON",)


def parse(url: str) -> URL:
    """Raises StartupError, which does not repeat the URL: it may hold a password."""
    try:
        parsed = make_url(url)
        driver = _DRIVERS[parsed.get_backend_name()]
    except (ArgumentError, ValueError, KeyError):
        raise StartupError(
            "store.url is not a database URL; it has the form sqlite+aiosqlite:///FILE or "
            "postgresql+asyncpg://USER:PASSWORD@HOST/NAME"
        ) from None
    if not parsed.database or parsed.database == ":memory:":
        raise StartupError("store.url names no database; add a file (SQLite) or a database's name (PostgreSQL) to it")
    return parsed.set(drivername=driver)


def file_of(url: URL) -> Path | None:
    """SQLite's file."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def make(url: URL) -> tuple[AsyncEngine, AsyncEngine]:
    """The engine that writes, then the one that reads. A transaction of the second sees one moment of the database."""
    if file_of(url):
        return _sqlite(url, writes=True), _sqlite(url, writes=False)
    writer = create_async_engine(
        url,
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_pre_ping=True,  # a database that was restarted is noticed before a request is
        hide_parameters=True,
        connect_args={"timeout": _CONNECTING, "server_settings": {"application_name": "fathom", "jit": "off"}},
    )
    return writer, writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _sqlite(url: URL, *, writes: bool) -> AsyncEngine:
    """The driver's own transactions are switched off: they would begin too late to wait for their turn."""
    engine = create_async_engine(
        url,
        pool_size=1 if writes else _READERS,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"isolation_level": None, "timeout": _BUSY},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def set_up(connection: Any, _record: object) -> None:
        if writes:
            connection.run_async(_keep_log)
        cursor = connection.cursor()
        for pragma in _WRITING if writes else _READING:
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin_now(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN DEFERRED")

    @event.listens_for(engine.sync_engine, "invalidate")
    def let_go(connection: Any, _record: object, _error: object) -> None:
        """Of one whose user was cancelled. Closed as it is, it would keep its lock for as long as a cursor lives."""
        with suppress(sqlite3.Error):
            connection.rollback()

    return engine


async def _keep_log(connection: aiosqlite.Connection) -> None:
    """In WAL mode. For its turn to make a new database one of those, SQLite does not wait by itself."""
    until = time.monotonic() + _BUSY
    while True:
        try:
            await connection.execute_fetchall("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            await asyncio.sleep(_TURN)
