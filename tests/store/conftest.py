from collections.abc import AsyncIterator

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
