import pytest
from fathom.store.database import Database

from tests.store.rows import add, add_keys, done, events, item, key, meddle, queued, running

WRONG = {
    "UPDATE responses SET status = 'lost'": "unknown status: resp_1",
    "UPDATE responses SET status = 'completed'": "ended, but with a request or a server: resp_1",
    "UPDATE responses SET owner = NULL": "in progress at no server: resp_1",
    "UPDATE responses SET status = 'queued'": "queued, but with a server or without a request: resp_1",
    "UPDATE response_items SET direction = 'output'": "not ended, but with output: resp_1",
    "DELETE FROM response_items WHERE position = 0": "items are missing: resp_1",
    "UPDATE response_items SET response_id = 'resp_0'": "items without a response: resp_0",
    "UPDATE response_events SET response_id = 'resp_0'": "events without a response: resp_0",
    "UPDATE responses SET next_number = 5": "events behind the last one: resp_1",
    "UPDATE responses SET body = '{\"id\":'": "body cannot be read: resp_1",
    "UPDATE responses SET request = ''": "request cannot be read: resp_1",
    "UPDATE response_items SET data = 'x'": "items cannot be read: resp_1",
    "UPDATE keys SET scopes = '['": "scopes cannot be read: key_1",
    "UPDATE keys SET limits = ''": "limits cannot be read: key_1",
    "UPDATE keys SET revision = 9": "keys that no server sees change: key_1",
    "DELETE FROM revisions": "keys that no server sees change: key_1",
    "UPDATE response_events SET data = substr(data, 1, 20)": "events cannot be read: resp_1",
}


async def fill(database: Database) -> None:
    await add(database, running(), items=[item("a"), item("b")], events=events(0, 1, 2))
    async with database.transaction() as work:
        await work.responses.note("resp_1", "server-1", events(4, 5), begun=True)
    await add_keys(database, key())


async def test_a_whole_database_has_no_problems(database: Database) -> None:
    assert await database.check() == []
    await fill(database)
    await add(database, done("resp_2"), queued("resp_3"), items=[item("a")])
    assert await database.check() == []


@pytest.mark.parametrize("statement", WRONG)
async def test_what_is_wrong_is_named(database: Database, database_url: str, statement: str) -> None:
    await fill(database)
    await meddle(database_url, statement)
    assert WRONG[statement] in await database.check()


async def test_segments_that_overlap_are_named(database: Database, database_url: str) -> None:
    await fill(database)
    await meddle(database_url, "UPDATE response_events SET first = 2 WHERE first = 4")
    assert await database.check() == ["events overlap: resp_1", "events cannot be read: resp_1"]


async def test_of_many_ids_a_few_are_named(database: Database, database_url: str) -> None:
    await add(database, *(queued(f"resp_{number:02}") for number in range(15)))
    await meddle(database_url, "UPDATE responses SET request = NULL")
    (problem,) = await database.check()
    assert problem.endswith("resp_08, resp_09 and more")


async def test_a_database_in_use_can_be_checked(database: Database, database_url: str) -> None:
    other = Database(database_url)
    async with database.transaction() as work:
        await work.responses.add(queued(), [])
        assert await other.check() == []
    await other.stop()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_damaged_file_is_said_to_be(database: Database, database_url: str) -> None:
    await add(database, *(queued(f"resp_{number}") for number in range(3)))
    await meddle(
        database_url,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = replace(sql, 'created_at', 'attempts') WHERE name = 'responses_by_status'",
    )
    await database.stop()
    assert "row 1 missing from index responses_by_status" in await database.check()
