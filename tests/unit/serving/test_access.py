"""Who is let in, on a database that others change, or that goes away."""

import asyncio
from contextlib import suppress

import pytest
from fathom.core.errors import StoreUnavailable, Unauthenticated
from fathom.core.tenant import ANYONE, Caller, Scope, Tenant
from fathom.serving import access as module
from fathom.serving.access import Access, is_loopback
from fathom.serving.keys import Keys, NewKey
from fathom.store.database import Database

from tests.failing_store import failing_store
from tests.unit.serving.making_keys import secret
from tests.unit.serving.responses.waiting import soon

SERVER = "elsewhere/1/0.00"


@pytest.fixture
async def access(database: Database):
    """Of a server on loopback. It looks for changes when it is told to."""
    access = Access(database, SERVER, trusting=True)
    await access.start()
    yield access
    await access.stop()


@pytest.fixture(autouse=True)
def no_following(monkeypatch):
    monkeypatch.setattr(module, "EVERY", 3600.0)


async def create(database: Database, access: Access | None = None, **fields) -> tuple[str, bytes]:
    """The id and the secret of a new key, which the server sees if it is given."""
    made = await Keys(database, access.refresh if access else _nothing).create(NewKey(**fields))
    return made.key.id, made.secret.encode()


async def _nothing() -> None:
    pass


def opens(access: Access, presented: bytes) -> bool:
    with suppress(Unauthenticated):
        return access.caller(presented) is not ANYONE
    return False


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch):
    monkeypatch.setattr("fathom.serving.keys.PATIENCE", 0.0)


def refused(access: Access, presented: bytes | None) -> str:
    with pytest.raises(Unauthenticated) as caught:
        access.caller(presented)
    return caught.value.message


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_is_known(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "", "localhost.example.com", "127.0.0.1.nip.io"])
def test_everything_else_is_not_loopback(host):
    assert not is_loopback(host)


async def test_without_keys_a_server_on_loopback_lets_anyone_in(access):
    assert access.open
    assert access.caller(None) == access.caller(secret("x")) == ANYONE


async def test_without_keys_any_other_server_lets_nobody_in(database):
    access = Access(database, SERVER, trusting=False)
    await access.start()
    assert not access.open
    assert "asks for an API key" in refused(access, None)
    assert "opens nothing" in refused(access, secret("x"))
    await access.stop()


async def test_the_first_key_closes_the_server(database, access):
    id, presented = await create(database, access, tenant="us")
    assert not access.open
    assert access.caller(presented) == Caller(Tenant("us"), id, frozenset({Scope.INFERENCE}))
    assert "asks for an API key" in refused(access, None)


async def test_it_stays_closed_when_the_last_key_is_revoked(database, access):
    id, presented = await create(database, access)
    await Keys(database, access.refresh).revoke(id)
    assert not access.open
    refused(access, presented)
    refused(access, None)


async def test_a_key_that_was_revoked_is_told_the_same_as_one_that_never_was(database, access):
    id, presented = await create(database, access)
    await Keys(database, access.refresh).revoke(id)
    assert refused(access, presented) == refused(access, secret("x")) == refused(access, b"nonsense")
    assert presented.decode() not in refused(access, presented)


async def test_before_the_keys_were_read_nobody_is_let_in(database):
    access = Access(database, SERVER, trusting=True)
    with pytest.raises(StoreUnavailable):
        access.caller(None)


async def test_what_others_change_is_seen_in_the_background(database, monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.01)
    access = Access(database, SERVER, trusting=True)
    await access.start()
    id, presented = await create(database)
    await soon(lambda: not access.open, "the key is seen")
    assert access.caller(presented).key == id
    await Keys(database).revoke(id)
    await soon(lambda: not opens(access, presented), "that it was revoked is seen")
    await access.stop()


async def test_a_database_that_says_of_itself_that_nothing_was_written_is_not_asked(database, monkeypatch):
    stamp = [1]
    monkeypatch.setattr(Database, "stamp", lambda _: stamp[0])
    monkeypatch.setattr(module, "EVERY", 0.01)
    access = Access(database, SERVER, trusting=True)
    await access.start()
    with failing_store() as faults:
        await asyncio.sleep(0.2)
    assert faults.seen == 0
    await create(database)
    stamp[0] = 2
    await soon(lambda: not access.open, "the key is seen")
    await access.stop()


async def test_a_change_waits_for_every_server_to_see_it(database, access, monkeypatch):
    monkeypatch.setattr("fathom.serving.keys.PATIENCE", 60.0)
    changing = asyncio.create_task(Keys(database).create(NewKey()))
    await soon(lambda: _any(database), "it is stored")
    await asyncio.sleep(0.2)
    assert not changing.done()
    await access.refresh()
    changed = await asyncio.wait_for(changing, 30)
    assert changed.behind == []


async def _any(database: Database) -> bool:
    async with database.reading() as work:
        return await work.keys.any()


async def test_a_server_that_does_not_see_a_change_is_named(database, access):
    changed = await Keys(database).create(NewKey())
    assert changed.behind == [SERVER]


async def test_a_server_is_waited_for_from_before_it_reads_the_keys(database, monkeypatch):
    access, reads, may_read = Access(database, SERVER, trusting=True), asyncio.Event(), asyncio.Event()

    async def refresh() -> None:
        reads.set()
        await may_read.wait()

    monkeypatch.setattr(access, "refresh", refresh)
    starting = asyncio.create_task(access.start())
    await reads.wait()
    assert (await Keys(database).create(NewKey())).behind == [SERVER]
    may_read.set()
    await starting
    await access.stop()


async def test_a_server_that_others_took_for_gone_says_again_that_it_lives(database, access):
    await create(database, access)
    async with database.transaction() as work:
        await work.servers.remove(SERVER)
    await access.refresh()
    assert (await Keys(database).create(NewKey())).behind == [SERVER]


async def test_while_the_database_is_away_known_keys_go_on_and_others_have_to_wait(database, access, monkeypatch):
    id, presented = await create(database, access)
    with failing_store(1, lasting=True):
        with pytest.raises(StoreUnavailable):
            await access.refresh()
        refused(access, secret("x"))  # it was there a moment ago: there is no such key
        monkeypatch.setattr(module, "_STALE", -1.0)
        assert access.caller(presented).key == id
        with pytest.raises(StoreUnavailable) as caught:
            access.caller(secret("x"))
        assert caught.value.retry_after
        refused(access, b"what cannot be a key")
        refused(access, None)


async def test_following_goes_on_after_the_database_was_away_or_a_bug(database, monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.01)
    monkeypatch.setattr(module, "_EVERY_AWAY", 0.01)
    access = Access(database, SERVER, trusting=True)
    await access.start()
    with failing_store(1, lasting=True) as faults:
        await soon(lambda: faults.seen > 2, "it looks in vain")
    with monkeypatch.context() as patch:
        patch.setattr(access._ring, "put", lambda keys: 1 / 0)
        id, _ = await create(database)
        await asyncio.sleep(0.1)
    await soon(lambda: not access.open, "the key is seen")
    assert access.again(id, "default").key == id
    await access.stop()


async def test_whoever_asked_earlier_is_let_in_as_what_they_are_now(database, access):
    id, _ = await create(database, access, tenant="us")
    assert access.again(id, "us").key == id
    await Keys(database, access.refresh).revoke(id)
    with pytest.raises(Unauthenticated, match="revoked, or has expired"):
        access.again(id, "us")
    with pytest.raises(Unauthenticated):
        access.again("key_nobody", "us")


async def test_what_was_asked_of_an_open_server_is_still_done_once_it_is_closed(database, access):
    await create(database, access)
    assert access.again(None, "default") == Caller(Tenant("default"))


async def test_a_key_that_does_not_open_inference_makes_nothing_later(database, access):
    id, _ = await create(database, access, scopes=frozenset({Scope.ADMIN}))
    with pytest.raises(Unauthenticated):
        access.again(id, "default")
