import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fathom.store.database import Database


@pytest.fixture(scope="session")
async def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database, for copies."""
    file = tmp_path_factory.mktemp("store") / "empty.db"
    database = Database(f"sqlite+aiosqlite:///{file}")
    await database.start()
    await database.stop()
    return file


@pytest.fixture
async def database(empty: Path, tmp_path: Path) -> AsyncIterator[Database]:
    file = shutil.copy(empty, tmp_path / "fathom.db")
    database = Database(f"sqlite+aiosqlite:///{file}")
    await database.start()
    yield database
    assert await database.check() == []
    await database.stop()
