import asyncio
import itertools
import random
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from fathom.core.errors import StoreFull, StoreUnavailable
from fathom.store import database as module
from fathom.store import engines
from fathom.store.database import Database, Work
from fathom.telemetry import metrics
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tests.databases import PostgresServer, needs_postgresql
from tests.failing_store import failing_store
from tests.store.rows import add, done, dump, get, queued

FULL = """
CREATE FUNCTION no_room() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = 'disk_full'; END $$
LANGUAGE plpgsql
"""


@contextmanager
def counting(code: str) -> Iterator[None]:
    """The error is counted once."""
    counter = metrics.STORE_ERRORS.labels(code)._value
    before = counter.get()
    yield
    assert counter.get() == before + 1


async def run(work: Work, sql: str) -> None:
    await work.servers._connection.execute(text(sql))


async def test_what_raises_leaves_nothing(database: Database, database_url: str) -> None:
    before = await dump(database_url)

    async def fail() -> None:
        async with database.transaction() as work:
            await work.responses.add(queued(), [])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await dump(database_url) == before


async def test_what_is_cancelled_leaves_nothing_and_is_in_nobodys_way(database: Database, database_url: str) -> None:
    before = await dump(database_url)
    under_way = asyncio.Event()

    async def never_done() -> None:
        async with database.transaction() as work:
            for number in itertools.count():
                await work.responses.add(queued(f"resp_{number}"), [])
                under_way.set()
                await work.responses.queued()

    tasks = []  # kept, and with them whatever their errors hold on to
    for number in range(40):
        async with asyncio.timeout(5):
            under_way.clear()
            tasks.append(asyncio.create_task(never_done()))
            await under_way.wait()
            await asyncio.sleep(number / 10_000)
            tasks[-1].cancel()
            await asyncio.wait(tasks)
            assert await dump(database_url) == before
    assert all(task.cancelled() for task in tasks)
    await add(database, queued())


async def test_clients_that_leave_at_any_moment_use_up_no_connection(database: Database) -> None:
    async def one(number: int) -> None:
        async with (database.reading if number % 3 else database.transaction)() as work:
            await work.responses.queued()
            await work.servers.all()

    chance = random.Random(7)
    for _ in range(8):
        tasks = [asyncio.create_task(one(number)) for number in range(40)]
        for task in tasks:
            asyncio.get_running_loop().call_later(chance.random() * 0.05, task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(5):
        await asyncio.gather(*(one(number) for number in range(60)))


async def test_a_key_that_is_taken_is_a_bug_and_not_an_outage(database: Database) -> None:
    await add(database, queued())
    with pytest.raises(IntegrityError) as caught:
        await add(database, queued(body={"prompt": "canary"}))
    assert "canary" not in str(caught.value)


async def test_many_at_a_time_wait_for_each_other(database: Database, database_url: str) -> None:
    other = Database(database_url)

    async def one(number: int) -> None:
        at = (database, other)[number % 2]
        for step in range(3):
            async with at.transaction() as work:
                await work.responses.queued()  # what is read first must not be in the way of what is written then
                await work.responses.add(queued(f"resp_{number}_{step}"), [])
                await work.servers.beat(f"server_{number % 3}", step)
            async with at.reading() as work:
                assert await work.responses.queued() > 0

    await asyncio.gather(*(one(number) for number in range(32)))
    async with database.reading() as work:
        assert await work.responses.queued() == 96
    await other.stop()


async def test_on_sqlite_a_busy_writer_lets_the_others_have_their_turn(sqlite: Database) -> None:
    order: list[str] = []

    async def write(name: str, times: int) -> None:
        for _ in range(times):
            async with sqlite.transaction() as work:
                order.append(name)
                await work.servers.beat(name, 1)

    await asyncio.gather(write("busy", 20), write("a", 1), write("b", 1), write("c", 1))
    assert order[:4] == ["busy", "a", "b", "c"]


async def test_reading_waits_for_no_writer_and_sees_what_is_committed(database: Database) -> None:
    async with database.transaction() as work:
        await work.responses.add(queued(), [])
        began = time.monotonic()
        assert await get(database) is None
        assert time.monotonic() - began < 1
    assert await get(database) == queued()


async def test_reading_sees_one_moment(database: Database) -> None:
    await add(database, queued("resp_1"))
    async with database.reading() as work:
        assert await work.responses.queued() == 1
        await add(database, queued("resp_2"))
        assert await work.responses.queued() == 1


async def test_reading_cannot_write(database: Database) -> None:
    with pytest.raises(StoreUnavailable):
        async with database.reading() as work:
            await work.servers.beat("server-1", 1)


async def test_work_is_timed(database: Database) -> None:
    for kind, doing in (("write", database.transaction), ("read", database.reading)):
        before = metrics.STORE_TRANSACTION.labels(kind)._sum.get()
        async with doing():
            await asyncio.sleep(0.01)
        assert 0.01 < metrics.STORE_TRANSACTION.labels(kind)._sum.get() - before < 1


async def test_an_error_says_what_to_do_and_no_sql(database: Database) -> None:
    with counting("store_unavailable"), failing_store(at=2), pytest.raises(StoreUnavailable) as caught:
        await add(database, queued())
    assert caught.value.status == 503
    assert caught.value.retry_after == 5
    assert caught.value.message == (
        "The server's database cannot be used at the moment. Try again in 5 seconds, or send store=false."
    )


async def test_a_full_sqlite_is_507_and_goes_on_when_there_is_room(sqlite: Database) -> None:
    await add(sqlite, done("resp_old", body={"x": "y" * 100_000}))
    async with sqlite.transaction() as work:
        await run(work, "PRAGMA max_page_count = 1")  # SQLite takes the pages that it has
    with counting("store_full"), pytest.raises(StoreFull, match="no room left"):
        await add(sqlite, done("resp_new", body={"x": "y" * 100_000}))
    assert await get(sqlite, "resp_new") is None
    async with sqlite.transaction() as work:
        assert await work.responses.sweep(10_000, 1) == 1
    await add(sqlite, done("resp_new", body={"x": "y" * 100_000}))
    assert await sqlite.check() == []


@needs_postgresql
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_full_postgresql_is_507(database: Database) -> None:
    async with database.transaction() as work:
        await run(work, FULL)
        await run(work, "CREATE TRIGGER no_room BEFORE INSERT ON servers FOR EACH ROW EXECUTE FUNCTION no_room()")
    with counting("store_full"), pytest.raises(StoreFull, match="no room left"):
        async with database.transaction() as work:
            await work.servers.beat("server-1", 1)


async def test_a_read_only_sqlite_is_503_and_can_be_read(sqlite: Database) -> None:
    await add(sqlite, queued("resp_1"))
    async with sqlite.transaction() as work:
        await run(work, "PRAGMA query_only = ON")
    with pytest.raises(StoreUnavailable):
        await add(sqlite, queued("resp_2"))
    assert await get(sqlite, "resp_1") == queued("resp_1")


@needs_postgresql
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_read_only_postgresql_is_503_and_can_be_read(database: Database, database_url: str) -> None:
    name = database_url.rpartition("/")[2]
    await add(database, queued("resp_1"))
    async with database.transaction() as work:
        await run(work, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await database.stop()
    with pytest.raises(StoreUnavailable):
        await add(database, queued("resp_2"))
    assert await get(database, "resp_1") == queued("resp_1")


async def test_a_lock_that_someone_keeps_is_503_until_they_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_BUSY", 0.1)
    file = tmp_path / "fathom.db"
    database = Database(f"sqlite+aiosqlite:///{file}")
    await database.start()
    with closing(sqlite3.connect(file, isolation_level=None)) as someone:
        someone.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            await add(database, queued())
        assert await get(database) is None
        someone.execute("ROLLBACK")
    await add(database, queued())
    await database.stop()


async def test_a_damaged_sqlite_is_an_error_and_not_a_crash(sqlite: Database, tmp_path: Path) -> None:
    await add(sqlite, *(queued(f"resp_{number}", body={"x": "y" * 2000}) for number in range(100)))
    await sqlite.stop()
    file = tmp_path / "fathom.db"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreUnavailable):
        await get(sqlite, "resp_99")


async def test_sqlite_survives_a_power_cut_and_is_for_our_eyes_only(sqlite: Database, tmp_path: Path) -> None:
    async with sqlite.transaction() as work:
        await work.servers.beat("server-1", 1)
        pragmas = [
            (await work.servers._connection.exec_driver_sql(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert pragmas == ["wal", 2, 1]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    server = PostgresServer(durable=True)
    server.start()
    yield server
    server.remove()


@needs_postgresql
async def test_a_postgresql_that_comes_back_is_used_again(own_server: PostgresServer) -> None:
    database = Database(own_server.new_database())
    await asyncio.gather(*(add(database, queued(f"resp_{number}")) for number in range(10)))
    own_server.kill()
    for doing in (database.transaction, database.reading):
        with pytest.raises(StoreUnavailable):
            async with doing() as work:
                await work.responses.queued()
    own_server.start()
    for number in range(10):
        assert await get(database, f"resp_{number}") == queued(f"resp_{number}")
    assert await database.check() == []
    await database.stop()


@needs_postgresql
async def test_a_restart_of_postgresql_that_nobody_saw_fails_no_request(own_server: PostgresServer) -> None:
    database = Database(own_server.new_database())
    await asyncio.gather(*(add(database, queued(f"resp_{number}")) for number in range(10)))
    own_server.stop()
    own_server.start()
    assert await get(database, "resp_1") == queued("resp_1")
    await database.stop()


@needs_postgresql
async def test_a_postgresql_that_hangs_is_503_in_time(
    own_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DEADLINE", 0.5)
    database = Database(own_server.new_database())
    await add(database, queued())
    own_server.freeze()
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await get(database)
    assert time.monotonic() - began < 15
    own_server.thaw()
    monkeypatch.setattr(module, "_DEADLINE", 20)
    assert await get(database) == queued()
    await database.stop()


async def test_a_new_file_that_another_server_is_making_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "fathom.db"
    database = Database(f"sqlite+aiosqlite:///{file}")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("CREATE TABLE half_made (id INTEGER)")
        starting = asyncio.create_task(database.start())
        await asyncio.sleep(0.3)
        assert not starting.done()
        other.execute("ROLLBACK")
    await starting
    assert await database.check() == []
    await database.stop()
