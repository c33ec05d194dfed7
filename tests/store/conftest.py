from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fathom.store.database import Database

from tests.databases import database_url as database_url
from tests.databases import empty_database_url as empty_database_url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Started, on SQLite and on PostgreSQL."""
    database = Database(database_url)
    await database.start()
    yield database
    await database.stop()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Database]:
    """Started, in the file fathom.db of `tmp_path`."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'fathom.db'}")
    await database.start()
    yield database
    await database.stop()
