import asyncio
from dataclasses import replace

import pytest
from fathom.core.tenant import Limits, Scope
from fathom.store.database import Database
from sqlalchemy.exc import IntegrityError

from tests.store.rows import add_keys, key, meddle


async def get(database: Database, id: str = "key_1"):
    async with database.reading() as work:
        return await work.keys.get(id)


async def test_a_key_comes_back_as_it_was(database: Database) -> None:
    [added] = await add_keys(
        database, key(expires_at=5, revoked_at=6, old_hash=b"\0old", old_until=7, name="ein Schlüssel")
    )
    assert added.revision == 1
    assert await get(database) == added
    assert await get(database, "key_2") is None
    assert await get(database, "key_\0") is None


async def test_a_key_without_limits_has_none(database: Database) -> None:
    [added] = await add_keys(database, key(limits=Limits(), scopes=frozenset(Scope)))
    assert await get(database) == added


async def test_a_key_is_put_in_its_own_place(database: Database) -> None:
    one, two = await add_keys(database, key("key_1"), key("key_2"))
    async with database.transaction() as work:
        changed = replace(one, name="other", revoked_at=9, revision=await work.keys.next_revision())
        await work.keys.put(changed)
    assert await get(database, "key_1") == changed
    assert await get(database, "key_2") == two


async def test_what_was_changed_since_comes_in_the_order_of_the_changes(database: Database) -> None:
    one, two, three = await add_keys(database, key("key_3"), key("key_2"), key("key_1"))
    async with database.reading() as work:
        assert await work.keys.since(0) == [one, two, three]
        assert await work.keys.since(2) == [three]
        assert await work.keys.since(3) == []


async def test_a_server_is_told_the_last_change_and_what_it_went_by(database: Database) -> None:
    await add_keys(database, key("key_1"), key("key_2"))
    async with database.transaction() as work:
        await work.servers.go_by_keys("server-1", 1, 5)
        await work.servers.go_by_keys("server-2", None, 5)
        assert await work.keys.standing("server-1") == (2, 1)
        assert await work.keys.standing("server-2") == (2, None)
        assert await work.keys.standing("server-3") == (2, None)


async def test_whether_there_was_ever_a_key_is_known(database: Database) -> None:
    async with database.reading() as work:
        assert not await work.keys.any()
    await add_keys(database, key(revoked_at=1))
    async with database.reading() as work:
        assert await work.keys.any()


async def test_keys_are_listed_in_pages(database: Database) -> None:
    added = await add_keys(database, *(key(f"key_{at}", tenant="ab"[at % 2]) for at in range(5)))
    async with database.reading() as work:
        assert await work.keys.page() == added
        assert await work.keys.page(limit=2) == added[:2]
        assert await work.keys.page(after="key_1", limit=2) == added[2:4]
        assert await work.keys.page(tenant="b") == added[1::2]
        assert await work.keys.page(after="key_1", tenant="b") == [added[3]]
        assert await work.keys.page(tenant="\0") == await work.keys.page(after="\0") == []


async def test_no_two_keys_have_one_secret(database: Database) -> None:
    with pytest.raises(IntegrityError):
        await add_keys(database, key("key_1"), key("key_2", hash=key("key_1").hash))


async def test_a_scope_that_is_not_known_opens_nothing(database: Database, database_url: str) -> None:
    await add_keys(database, key())
    await meddle(database_url, """UPDATE keys SET scopes = '["inference","everything"]'""")
    assert (await get(database)).scopes == {Scope.INFERENCE}


async def test_changes_that_come_together_are_seen_by_whoever_follows_them(
    database: Database, database_url: str
) -> None:
    """A follower that has seen a change must not miss an earlier one that is committed later."""
    other, seen, revision = Database(database_url), [], 0

    async def make(at: int) -> None:
        where = (database, other)[at % 2]
        async with where.transaction() as work:
            new = replace(key(f"key_{at:02}"), revision=await work.keys.next_revision())
            await asyncio.sleep(0.01 * (at % 3))
            await work.keys.add(new)

    making = asyncio.gather(*(make(at) for at in range(12)))
    while len(seen) < 12:
        done = making.done()
        async with database.reading() as work:
            found = await work.keys.since(revision)
        seen += [each.id for each in found]
        revision = found[-1].revision if found else revision
        assert not done or found or len(seen) == 12, f"missed some: {seen}"
    await making
    await other.stop()
    assert sorted(seen) == [f"key_{at:02}" for at in range(12)]
