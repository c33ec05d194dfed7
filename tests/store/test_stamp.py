import sqlite3
from contextlib import closing
from pathlib import Path

from fathom.store.database import Database

from tests.databases import needs_postgresql, new_postgres_database
from tests.store.rows import add, queued


async def test_it_stays_as_long_as_nothing_is_written(sqlite: Database) -> None:
    first = sqlite.stamp()
    assert first is not None
    async with sqlite.reading() as work:
        assert await work.responses.queued() == 0
    assert sqlite.stamp() == first


async def test_what_is_written_here_changes_it(sqlite: Database) -> None:
    first = sqlite.stamp()
    await add(sqlite, queued())
    assert sqlite.stamp() not in (None, first)


async def test_another_connection_changes_it_when_its_write_can_be_seen(sqlite: Database, tmp_path: Path) -> None:
    first = sqlite.stamp()
    with closing(sqlite3.connect(tmp_path / "fathom.db")) as other:
        other.execute("INSERT INTO servers (id, seen_at) VALUES ('server-1', 5)")
        assert sqlite.stamp() == first
        other.commit()
        assert sqlite.stamp() not in (None, first)


async def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert Database(f"sqlite+aiosqlite:///{tmp_path / 'no.db'}").stamp() is None
    assert not list(tmp_path.iterdir())


@needs_postgresql
async def test_postgresql_has_none() -> None:
    assert Database(new_postgres_database()).stamp() is None
