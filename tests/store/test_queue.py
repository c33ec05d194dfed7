import asyncio
from dataclasses import replace

from fathom.store.database import Database

from tests.store.rows import add, done, get, queued, running


async def test_the_oldest_are_claimed_first(database: Database) -> None:
    await add(
        database,
        queued("resp_3", created_at=3),
        queued("resp_1", created_at=1, tenant="them"),
        queued("resp_2", created_at=2),
        done("resp_0", created_at=0),
        running("resp_r", created_at=0),
    )
    async with database.transaction() as work:
        claimed = await work.responses.claim("server-1", 2)
    assert claimed == [
        running("resp_1", created_at=1, tenant="them"),
        running("resp_2", created_at=2),
    ]
    assert await get(database, "resp_2") == claimed[1]
    assert await get(database, "resp_3") == queued("resp_3", created_at=3)


async def test_tenants_take_turns_and_who_has_fewer_under_way_is_first(database: Database) -> None:
    await add(
        database,
        *(queued(f"resp_a{number}", created_at=number, tenant="a") for number in range(5)),
        *(queued(f"resp_b{number}", created_at=10 + number, tenant="b") for number in range(5)),
        running("resp_ar", created_at=0, tenant="a"),
    )
    async with database.transaction() as work:
        first = await work.responses.claim("server-1", 3)
        second = await work.responses.claim("server-1", 3)
    assert [row.id for row in first] == ["resp_a0", "resp_b0", "resp_b1"]
    assert sorted(row.id for row in second) == ["resp_a1", "resp_a2", "resp_b2"]


async def test_each_of_many_is_given_to_one_of_several_servers(database: Database, database_url: str) -> None:
    await add(database, *(queued(f"resp_{number:02}", created_at=number) for number in range(60)))
    others = [database, *(Database(database_url) for _ in range(3))]
    claimed: dict[str, str] = {}

    async def take(name: str, at: Database) -> None:
        while True:
            async with at.transaction() as work:
                rows = await work.responses.claim(name, 3)
                await asyncio.sleep(0.001)
            if not rows:
                return
            for row in rows:
                assert row.id not in claimed
                claimed[row.id] = name

    await asyncio.gather(*(take(f"server-{number}", each) for number, each in enumerate(others)))
    for other in others[1:]:
        await other.stop()
    assert len(claimed) == 60
    for id, name in claimed.items():
        row = await get(database, id)
        assert row
        assert (row.owner, row.attempts) == (name, 1)


async def test_a_released_response_is_queued_again_and_remembers_its_attempt(database: Database) -> None:
    await add(database, running())
    async with database.transaction() as work:
        assert not await work.responses.release("resp_1", "server-2")
        assert await work.responses.release("resp_1", "server-1")
        assert not await work.responses.release("resp_1", "server-1")
    assert await get(database) == queued(attempts=1)
    async with database.transaction() as work:
        assert [row.attempts for row in await work.responses.claim("server-2", 1)] == [2]


async def test_the_queue_is_counted(database: Database) -> None:
    async with database.reading() as work:
        assert await work.responses.queued() == 0
    await add(database, queued("resp_1"), queued("resp_2"), running("resp_3"), done("resp_4"))
    async with database.reading() as work:
        assert await work.responses.queued() == 2


async def test_those_that_are_queued_for_too_long_are_told_oldest_first(database: Database) -> None:
    rows = [queued(f"resp_{age}", created_at=age) for age in (5, 3, 4, 10)]
    await add(database, *rows, running("resp_r", created_at=1))
    async with database.reading() as work:
        assert await work.responses.overdue(10, 2) == [rows[1], rows[2]]
        assert await work.responses.overdue(10, 9) == [rows[1], rows[2], rows[0]]


async def test_orphans_are_those_whose_server_is_gone(database: Database) -> None:
    lost, kept = running("resp_1", owner="gone"), running("resp_2", owner="alive")
    await add(database, lost, kept, queued("resp_3"), done("resp_4"))
    async with database.transaction() as work:
        await work.servers.beat("alive", 1)
        assert await work.responses.orphans() == [lost]
        await work.servers.remove("alive")
        assert {row.id for row in await work.responses.orphans()} == {"resp_1", "resp_2"}


async def test_a_released_orphan_goes_to_whoever_is_first(database: Database) -> None:
    await add(database, running(owner="gone"))

    async def take_over() -> bool:
        async with database.transaction() as work:
            return await work.responses.release("resp_1", "gone")

    assert sorted(await asyncio.gather(*(take_over() for _ in range(4)))) == [False, False, False, True]
    assert await get(database) == replace(queued(), attempts=1)
