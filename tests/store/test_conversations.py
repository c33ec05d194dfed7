from fathom.store.database import Database
from fathom.store.responses import Conversation, Turn

from tests.store.rows import TENANT, add, done, item, meddle


async def grow(database: Database, length: int) -> None:
    """resp_0 <- resp_1 <- ..., each with an item in and one out."""
    async with database.transaction() as work:
        for number in range(length):
            id, before = f"resp_{number}", f"resp_{number - 1}" if number else None
            await work.responses.add(done(id, status="in_progress", previous_id=before), [item(f"in_{number}")])
            await work.responses.finish(id, "completed", {}, [item(f"out_{number}")], 9000, None)


async def conversation(database: Database, id: str) -> Conversation | None:
    async with database.reading() as work:
        return await work.responses.conversation(TENANT, id)


async def test_a_conversation_is_told_from_its_beginning(database: Database) -> None:
    await grow(database, 3)
    turns = [Turn(f"resp_{number}", [item(f"in_{number}")], [item(f"out_{number}")]) for number in range(3)]
    assert await conversation(database, "resp_2") == Conversation(turns, None)
    assert await conversation(database, "resp_1") == Conversation(turns[:2], None)


async def test_a_turn_can_be_empty(database: Database) -> None:
    await add(database, done())
    assert await conversation(database, "resp_1") == Conversation([Turn("resp_1", [], [])], None)


async def test_a_deleted_ancestor_is_named(database: Database) -> None:
    await grow(database, 4)
    async with database.transaction() as work:
        await work.responses.delete(TENANT, "resp_1")
    found = await conversation(database, "resp_3")
    assert found
    assert ([turn.id for turn in found.turns], found.missing) == (["resp_2", "resp_3"], "resp_1")


async def test_a_long_conversation_is_read_whole(database: Database) -> None:
    await grow(database, 700)
    found = await conversation(database, "resp_699")
    assert found
    assert [turn.input[0]["id"] for turn in found.turns] == [f"in_{number}" for number in range(700)]


async def test_a_circle_ends(database: Database, database_url: str) -> None:
    await grow(database, 3)
    await meddle(database_url, "UPDATE responses SET previous_id = 'resp_2' WHERE id = 'resp_0'")
    found = await conversation(database, "resp_2")
    assert found
    assert [turn.id for turn in found.turns] == ["resp_0", "resp_1", "resp_2"]


async def test_items_are_found_by_their_ids(database: Database) -> None:
    await grow(database, 2)
    async with database.reading() as work:
        found = await work.responses.items(TENANT, ["in_0", "out_1", "nowhere", "in_0"])
    assert found == {"in_0": item("in_0"), "out_1": item("out_1")}


async def test_many_items_are_found_at_once(database: Database) -> None:
    given = [item(f"item_{number}") for number in range(1200)]
    await add(database, done(), items=given)
    async with database.reading() as work:
        found = await work.responses.items(TENANT, (each["id"] for each in given))
    assert found == {each["id"]: each for each in given}


async def test_what_a_model_made_wins_over_what_a_client_sent(database: Database) -> None:
    await add(database, done("resp_1", status="in_progress"))
    await add(database, done("resp_2"), done("resp_3"), items=[item("a", "the client's")])
    async with database.transaction() as work:
        await work.responses.finish("resp_1", "completed", {}, [item("a", "the model's")], 9000, None)
        assert await work.responses.items(TENANT, ["a"]) == {"a": item("a", "the model's")}


async def test_of_what_clients_sent_the_latest_wins(database: Database) -> None:
    await add(database, done("resp_2"), items=[item("a", "new")])
    await add(database, done("resp_1"), items=[item("a", "old")])
    async with database.reading() as work:
        assert await work.responses.items(TENANT, ["a"]) == {"a": item("a", "new")}
