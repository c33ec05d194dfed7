import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from fathom.store.database import Database

from tests.databases import needs_postgresql, new_postgres_database
from tests.store.rows import add, queued


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fathom.db"


@pytest.fixture
async def database(file: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{file}")
    await database.start()
    yield database
    await database.stop()


def settle(file: Path, ago: float = 60) -> None:
    """As if nothing had been written for a while."""
    for path in (file, Path(f"{file}-wal")):
        os.utime(path, (time.time() - ago,) * 2)


async def test_it_stays_as_long_as_nothing_is_written(database: Database, file: Path) -> None:
    settle(file)
    first = database.stamp()
    assert first is not None
    async with database.reading() as work:
        assert await work.responses.queued() == 0
    assert database.stamp() == first


async def test_what_was_written_just_now_may_not_be_all(database: Database, file: Path) -> None:
    settle(file)
    await add(database, queued())
    assert database.stamp() is None


@pytest.mark.parametrize("ago", [60, 30], ids=["within a step of the clock", "later"])
async def test_another_process_changes_it(database: Database, file: Path, ago: float) -> None:
    settle(file)
    first = database.stamp()
    with closing(sqlite3.connect(file)) as other:
        other.execute("INSERT INTO servers (id, seen_at) VALUES ('server-1', 5)")
        other.commit()
    assert database.stamp() is None
    settle(file, ago)
    assert database.stamp() not in (None, first)


async def test_a_log_that_is_gone_tells_nothing(database: Database, file: Path) -> None:
    settle(file)
    Path(f"{file}-wal").unlink()
    assert database.stamp() is None


@needs_postgresql
async def test_postgresql_has_none() -> None:
    assert Database(new_postgres_database()).stamp() is None
