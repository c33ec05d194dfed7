import asyncio
from dataclasses import replace

import pytest
from fathom.store.database import Database
from fathom.store.events import KeptEvent
from fathom.store.responses import StoredResponse

from tests.store.rows import add, done, dump, events, get, item, queued, running

NOT_OURS = [queued(), running(owner="server-2"), done()]


async def kept(database: Database, after: int = -1) -> list[int]:
    async with database.reading() as work:
        return [event.number for event in await work.responses.events("resp_1", after)]


async def note(database: Database, *numbers: int, begun: bool = False) -> bool:
    async with database.transaction() as work:
        return await work.responses.note("resp_1", "server-1", events(*numbers), begun)


async def test_events_are_read_from_anywhere_in_order(database: Database) -> None:
    await add(database, running())
    for segment in ((0, 1, 2), (3,), (5, 9, 10)):
        assert await note(database, *segment)
    assert await kept(database) == [0, 1, 2, 3, 5, 9, 10]
    assert await kept(database, after=1) == [2, 3, 5, 9, 10]
    assert await kept(database, after=5) == [9, 10]
    assert await kept(database, after=10) == []


async def test_an_event_is_kept_byte_by_byte(database: Database) -> None:
    event = KeptEvent(0, "response.output_text.delta", "\0ü漢".encode() + bytes(range(256)))
    await add(database, running())
    async with database.transaction() as work:
        await work.responses.note("resp_1", "server-1", [event], begun=False)
        assert await work.responses.events("resp_1", -1) == [event]


async def test_a_note_moves_the_row_on(database: Database) -> None:
    await add(database, running())
    assert await note(database, 0, 1)
    assert await get(database) == running(next_number=2)
    assert await note(database, begun=True)
    assert await get(database) == running(next_number=2, begun=True)
    assert await note(database, 4)
    assert await get(database) == running(next_number=5, begun=True)


@pytest.mark.parametrize("row", NOT_OURS, ids=lambda row: row.status)
async def test_nothing_is_noted_for_what_is_not_ours(
    database: Database, database_url: str, row: StoredResponse
) -> None:
    await add(database, row)
    before = await dump(database_url)
    assert not await note(database, 0, begun=True)
    assert await dump(database_url) == before


async def test_a_response_that_is_not_there_cannot_be_noted_or_finished(database: Database, database_url: str) -> None:
    before = await dump(database_url)
    async with database.transaction() as work:
        assert not await work.responses.note("resp_1", "server-1", events(0), begun=True)
        assert not await work.responses.finish("resp_1", "failed", {}, [item("a")], 1, None, events(0))
    assert await dump(database_url) == before


async def test_a_finished_response_has_its_output_its_last_event_and_no_owner(database: Database) -> None:
    await add(database, running(begun=True), items=[item("in")])
    await note(database, 0)
    async with database.transaction() as work:
        assert await work.responses.finish(
            "resp_1", "completed", {"status": "completed"}, [item("out")], 12_000, "server-1", events(1)
        )
        assert await work.responses.output("resp_1") == [item("out")]
        assert await work.responses.input("resp_1") == [item("in")]
    assert await kept(database) == [0, 1]
    assert await get(database) == done(
        body={"status": "completed"}, expires_at=12_000, attempts=1, begun=True, next_number=2
    )


@pytest.mark.parametrize("row", NOT_OURS, ids=lambda row: row.status)
async def test_what_is_not_ours_is_not_finished(database: Database, database_url: str, row: StoredResponse) -> None:
    await add(database, row)
    before = await dump(database_url)
    async with database.transaction() as work:
        assert not await work.responses.finish("resp_1", "failed", {"x": 1}, [item("a")], 1, "server-1", events(0))
    assert await dump(database_url) == before


@pytest.mark.parametrize("row", [queued(), running()], ids=lambda row: row.status)
async def test_anyone_can_finish_what_has_not_ended(database: Database, row: StoredResponse) -> None:
    await add(database, row)
    async with database.transaction() as work:
        assert await work.responses.finish("resp_1", "cancelled", {"by": "client"}, [], 1, None)
    assert await get(database) == replace(
        row, status="cancelled", body={"by": "client"}, expires_at=1, request=None, owner=None
    )


async def test_of_several_who_finish_it_one_does(database: Database, database_url: str) -> None:
    await add(database, running())
    other = Database(database_url)

    async def finish(at: Database, number: int) -> bool:
        async with at.transaction() as work:
            return await work.responses.finish(
                "resp_1", "completed", {"by": number}, [item(f"by_{number}")], 1, None, events(number)
            )

    won = await asyncio.gather(*(finish((database, other)[number % 2], number) for number in range(8)))
    await other.stop()
    assert won.count(True) == 1
    row = await get(database)
    assert row
    assert row.body == {"by": won.index(True)}
    assert await kept(database) == [won.index(True)]
    async with database.reading() as work:
        assert await work.responses.output("resp_1") == [item(f"by_{won.index(True)}")]
