import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from fathom.core.errors import StartupError
from fathom.settings import load
from fathom.store import migrating
from fathom.store.database import Database, url_of
from fathom.store.migrations import HEAD
from fathom.store.tables import metadata
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from tests.databases import needs_postgresql, new_postgres_database
from tests.store.rows import add, dump, get, meddle, queued


def test_the_constant_is_the_last_revision() -> None:
    assert migrating.scripts().get_heads() == [HEAD]


async def test_migrations_make_the_tables_that_the_code_knows(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    await database.start()
    await database.stop()

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))

    engine = create_async_engine(empty_database_url)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_a_second_start_changes_nothing(empty_database_url: str) -> None:
    for _ in range(2):
        database = Database(empty_database_url)
        await database.start()
        await database.stop()
    database = Database(empty_database_url)
    await add(database, queued())
    await database.start()
    assert await get(database) == queued()
    await database.stop()


def fathom(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fathom", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


async def test_a_database_of_an_earlier_revision_keeps_what_it_holds(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(empty_database_url)
    first, *_ = reversed(list(migrating.scripts().walk_revisions()))
    with monkeypatch.context() as patch:
        patch.setattr(migrating.command, "upgrade", partial(_upgrade_to, first.revision, migrating.command.upgrade))
        await database.start()
    await add(database, queued())
    await meddle(empty_database_url, "INSERT INTO servers (id, seen_at) VALUES ('server-1', 5)")
    await database.start()
    assert await get(database) == queued()
    assert await database.check() == []
    async with database.reading() as work:
        assert await work.servers.all() == {"server-1": 5}
    await database.stop()


def _upgrade_to(revision: str, upgrade: Callable[[Config, str], None], config: Config, _head: str) -> None:
    upgrade(config, revision)


async def test_several_processes_can_migrate_at_once(empty_database_url: str) -> None:
    running = [fathom("migrate", "--set", f"store.url={empty_database_url}") for _ in range(5)]
    ended = [(process.communicate(timeout=60), process.returncode) for process in running]
    assert [code for _, code in ended] == [0] * 5, ended
    database = Database(empty_database_url)
    assert await database.check() == []
    await database.stop()


async def test_several_servers_of_a_process_can_start_at_once(empty_database_url: str) -> None:
    databases = [Database(empty_database_url) for _ in range(5)]
    await asyncio.gather(*(each.start() for each in databases))
    assert await databases[0].check() == []
    await asyncio.gather(*(each.stop() for each in databases))


async def test_a_migration_that_fails_leaves_nothing(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(connection: Connection, _revision: str | None) -> None:
        metadata.create_all(connection)
        raise StartupError("half way")

    database = Database(empty_database_url)
    with monkeypatch.context() as patch:
        patch.setattr(migrating, "upgrade", half)
        with pytest.raises(StartupError, match="half way"):
            await database.start()
    await database.start()
    assert await database.check() == []
    await database.stop()


async def test_the_tables_of_a_newer_server_are_refused(database: Database, database_url: str) -> None:
    await meddle(database_url, "UPDATE alembic_version SET version_num = '9999'")
    before = await dump(database_url)
    with pytest.raises(StartupError, match="'9999' is newer than this Fathom"):
        await database.start()
    assert await dump(database_url) == before
    assert await database.check() == [f"its revision is 9999, this Fathom needs {HEAD}: run `fathom migrate`"]


async def test_an_empty_database_is_no_whole_one(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    if "sqlite" in empty_database_url:
        with pytest.raises(StartupError, match="no such file"):
            await database.check()
    else:
        assert await database.check() == [f"its revision is none, this Fathom needs {HEAD}: run `fathom migrate`"]
    await database.stop()


async def test_a_start_without_a_migration_does_not_import_alembic(database: Database, database_url: str) -> None:
    code = (
        "import asyncio, sys; from fathom.store.database import Database\n"
        f"asyncio.run(Database({database_url!r}).start()); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql+asyncpg://me:hidden@127.0.0.1:1/x", "Connect call failed"),
        ("postgresql+asyncpg://me:hidden@127.0.0.1:1/x?nonsense=hidden", "nonsense"),
        ("sqlite+aiosqlite:////dev/null/fathom.db", "/dev/null"),
        ("sqlite+aiosqlite:////etc/hostname", "not a database"),
    ],
)
async def test_a_database_that_cannot_be_used_is_one_clear_line(url: str, reason: str) -> None:
    database = Database(url)
    began = time.monotonic()
    with pytest.raises(StartupError, match=reason) as caught:
        await database.start()
    await database.stop()
    assert time.monotonic() - began < 10
    assert "\n" not in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert "store.url" in str(caught.value)


@needs_postgresql
async def test_a_wrong_password_is_one_clear_line_without_it() -> None:
    database = Database(new_postgres_database().replace("grepped-for", "hidden"))
    with pytest.raises(StartupError, match="password authentication failed") as caught:
        await database.start()
    assert "hidden" not in str(caught.value)


@needs_postgresql
async def test_a_missing_database_is_one_clear_line() -> None:
    server, _, _ = new_postgres_database().rpartition("/")
    with pytest.raises(StartupError, match='database "nowhere" does not exist'):
        await Database(f"{server}/nowhere").start()


@pytest.mark.parametrize(
    "url",
    ["", "fathom.db", "mysql://me:hidden@host/x", "postgresql://me:hidden@host:port/x", "sqlite+aiosqlite://",
     "sqlite+aiosqlite:///:memory:", "postgresql+asyncpg://me:hidden@host"],
)  # fmt: skip
def test_what_is_no_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(StartupError, match=r"store\.url") as caught:
        Database(url)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://me:hidden@host/x?ssl=hidden", "sqlite:///x"])
def test_a_url_needs_no_driver_and_is_named_without_its_secrets(url: str) -> None:
    assert Database(url).name in ("postgresql+asyncpg://me:***@host/x", "sqlite+aiosqlite:///x")


def test_without_a_url_the_file_is_under_home(tmp_path: Path) -> None:
    assert url_of(load({"home": str(tmp_path)})) == f"sqlite+aiosqlite:///{tmp_path}/fathom.db"
    assert url_of(load({"store.url": "sqlite:///x"})) == "sqlite:///x"
