import asyncio

from fathom.store.database import Database


async def test_a_server_is_known_by_its_last_sign(database: Database) -> None:
    async with database.transaction() as work:
        assert await work.servers.all() == {}
        await work.servers.beat("server-1", 1)
        await work.servers.beat("server-2", 2)
        await work.servers.beat("server-1", 3)
        assert await work.servers.all() == {"server-1": 3, "server-2": 2}


async def test_a_removed_server_is_forgotten(database: Database) -> None:
    async with database.transaction() as work:
        await work.servers.beat("server-1", 1)
        await work.servers.remove("server-1")
        await work.servers.remove("server-1")
        assert await work.servers.all() == {}


async def test_the_first_secret_of_a_name_stays(database: Database) -> None:
    async with database.transaction() as work:
        assert await work.secrets.get_or_add("key", b"\0one\xff") == b"\0one\xff"
        assert await work.secrets.get_or_add("key", b"two") == b"\0one\xff"
        assert await work.secrets.get_or_add("other", b"three") == b"three"


async def test_servers_that_start_together_have_the_same_secret(database: Database, database_url: str) -> None:
    other = Database(database_url)

    async def secret(at: Database, value: bytes) -> bytes:
        async with at.transaction() as work:
            return await work.secrets.get_or_add("key", value)

    found = await asyncio.gather(*(secret((database, other)[n % 2], bytes([n])) for n in range(8)))
    await other.stop()
    assert len(set(found)) == 1


async def test_a_server_is_behind_until_it_says_that_it_goes_by_the_keys(database: Database) -> None:
    async with database.transaction() as work:
        await work.servers.beat("an-old-one", 1)
        await work.servers.go_by_keys("starting", None, 1)
        await work.servers.go_by_keys("late", 4, 1)
        await work.servers.go_by_keys("there", 4, 1)
        await work.servers.go_by_keys("there", 5, 2)
        assert await work.servers.behind_with_keys(5) == ["an-old-one", "late", "starting"]
        assert await work.servers.behind_with_keys(4) == ["an-old-one", "starting"]
        assert (await work.servers.all())["there"] == 2


async def test_a_sign_of_life_does_not_change_what_keys_a_server_goes_by(database: Database) -> None:
    async with database.transaction() as work:
        await work.servers.go_by_keys("server-1", 3, 1)
        await work.servers.beat("server-1", 2)
        assert await work.servers.behind_with_keys(3) == []
