"""A unit of work that fails anywhere leaves nothing."""

from contextlib import suppress

import pytest
from fathom.core.errors import StoreFull, StoreUnavailable
from fathom.store.database import Database, Work

from tests.failing_store import failing_store
from tests.store.rows import TENANT, add, done, dump, events, get, item, queued, running


async def everything(work: Work) -> None:
    """Every write that there is."""
    await work.responses.add(queued("resp_new"), [item("a"), item("b")], events(0, 1))
    await work.responses.prolong(TENANT, "resp_done", 99_000)
    await work.responses.note("resp_running", "server-1", events(0, 1), begun=True)
    await work.responses.finish("resp_running", "completed", {}, [item("c")], 1, "server-1", events(2))
    await work.responses.release("resp_other", "server-1")
    await work.responses.claim("server-2", 10)
    await work.responses.delete(TENANT, "resp_done")
    await work.responses.sweep(100, 10)
    await work.servers.beat("server-2", 1)
    await work.servers.beat("server-1", 2)
    await work.servers.remove("server-1")
    await work.secrets.get_or_add("key", b"value")


async def fill(database: Database) -> None:
    await add(database, done("resp_done"), done("resp_over", expires_at=1), items=[item("a")], events=events(0))
    await add(database, running("resp_running"), running("resp_other"), queued("resp_queued"))
    async with database.transaction() as work:
        await work.servers.beat("server-1", 1)


async def count(database: Database) -> int:
    """What `everything` asks of the database, BEGIN included, COMMIT not."""
    with failing_store() as faults, suppress(ZeroDivisionError):
        async with database.transaction() as work:
            await everything(work)
            raise ZeroDivisionError
    return faults.seen


async def test_a_unit_of_work_is_stored_wholly_or_not_at_all_wherever_it_fails(
    database: Database, database_url: str
) -> None:
    await fill(database)
    before = await dump(database_url)
    statements = await count(database)
    assert await dump(database_url) == before
    assert statements > 20
    for at in range(1, statements + 2):  # the last one is the commit
        with failing_store(at) as faults, pytest.raises(StoreUnavailable):
            async with database.transaction() as work:
                await everything(work)
        assert faults.seen >= at
        assert await dump(database_url) == before, f"failed at {at}"
    with failing_store(statements + 2):
        async with database.transaction() as work:
            await everything(work)
    assert await dump(database_url) != before
    assert await database.check() == []


async def test_a_lasting_fault_ends_when_it_ends(database: Database) -> None:
    with failing_store(1, lasting=True):
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await add(database, queued())
            with pytest.raises(StoreUnavailable):
                await get(database)
    await add(database, queued())
    assert await get(database) == queued()


async def test_a_fault_can_be_a_lack_of_room(database: Database) -> None:
    with failing_store(1, full=True), pytest.raises(StoreFull) as caught:
        await add(database, queued())
    assert caught.value.status == 507
