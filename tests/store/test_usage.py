import asyncio

from fathom.core.usage import Amounts, Place
from fathom.store.database import Database

MONDAY, TUESDAY = "2026-01-05", "2026-01-06"
ONE = Amounts(1, 10, 4, 20, 5)


def place(day: str = MONDAY, tenant: str = "a", key: str = "key_1", model: str = "m") -> Place:
    return Place(day, tenant, key, model)


async def add(database: Database, *places: Place, used: Amounts = ONE) -> None:
    async with database.transaction() as work:
        await work.usage.add(dict.fromkeys(places, used))


async def rows(
    database: Database, first: str = MONDAY, last: str = TUESDAY, **which: str
) -> list[tuple[Place, Amounts]]:
    async with database.reading() as work:
        return await work.usage.between(first, last, **which)


async def test_what_is_added_in_one_place_adds_up(database):
    await add(database, place())
    await add(database, place(), place(model="other"), used=Amounts(2, 100, 0, 200, 50))
    assert await rows(database) == [
        (place(), Amounts(3, 110, 4, 220, 55)),
        (place(model="other"), Amounts(2, 100, 0, 200, 50)),
    ]


async def test_nothing_is_added_where_nothing_was_used(database):
    await add(database)
    assert await rows(database) == []


async def test_days_tenants_and_keys_are_told_apart(database):
    places = [place(), place(TUESDAY), place(tenant="b", key="key_2"), place(key="key_3")]
    await add(database, *places)
    assert [where for where, _ in await rows(database)] == sorted(places)
    assert [where for where, _ in await rows(database, tenant="b")] == [places[2]]
    assert [where for where, _ in await rows(database, key="key_3")] == [places[3]]
    assert [where for where, _ in await rows(database, first=TUESDAY)] == [places[1]]


async def test_the_tokens_of_a_key_are_those_of_prompt_and_completion_since_a_day(database):
    await add(database, place(), place(TUESDAY), place(key="key_2"))
    async with database.reading() as work:
        assert await work.usage.tokens("key_1", MONDAY) == 60
        assert await work.usage.tokens("key_1", TUESDAY) == 30
        assert await work.usage.tokens("key_1", "2026-01-07") == 0


async def test_servers_that_add_to_the_same_rows_at_once_lose_nothing(database_url, database):
    others = [Database(database_url) for _ in range(3)]
    places = [place(model=f"m{at}") for at in range(5)]
    for other in others:
        await other.start()
    await asyncio.gather(*(add(other, *places[at:], *places[:at]) for at, other in enumerate(others) for _ in range(5)))
    for other in others:
        await other.stop()
    assert await rows(database) == [(where, Amounts(15, 150, 60, 300, 75)) for where in places]
