import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fathom.core.errors import StoreUnavailable
from fathom.core.tenant import ANYONE, Caller, Limits, Tenant
from fathom.core.usage import Amounts, Place
from fathom.serving import usage
from fathom.serving.usage import Ledger
from fathom.store.database import Database
from structlog.testing import capture_logs

WHO = Caller(Tenant("a"), "key_1", limits=Limits(budget=1000, period="day"))
ONE = Amounts(1, 10, 4, 20, 5)
DAY = "2026-01-31"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/fathom.db")
    await database.start()
    yield database
    await database.stop()


@pytest.fixture
def ledger(database: Database, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setattr(usage, "today", lambda: DAY)
    monkeypatch.setattr(usage, "EVERY", 0.05)
    return Ledger(database, lambda: "m")


async def kept(database: Database) -> dict[Place, Amounts]:
    async with database.reading() as work:
        return dict(await work.usage.between("2026-01-01", "2026-12-31"))


async def test_what_is_counted_is_written_soon(database, ledger):
    ledger.start()
    ledger.add(WHO, None, ONE)
    ledger.add(WHO, "poet", ONE)
    ledger.add(ANYONE, None, ONE)
    await asyncio.sleep(0.3)
    assert await kept(database) == {
        Place(DAY, "a", "key_1", "m"): ONE,
        Place(DAY, "a", "key_1", "poet"): ONE,
        Place(DAY, "default", "", "m"): ONE,
    }
    await ledger.stop()


async def test_what_is_left_is_written_when_the_server_stops(database, ledger):
    ledger.start()
    ledger.add(WHO, None, ONE)
    await ledger.stop()
    assert await kept(database) == {Place(DAY, "a", "key_1", "m"): ONE}


async def test_what_the_store_does_not_take_is_written_later_once(database, ledger, monkeypatch):
    ledger.add(WHO, None, ONE)
    with monkeypatch.context() as away:
        away.setattr(database, "transaction", unavailable)
        await ledger.flush()
        assert await ledger.spent(WHO) == 30
    ledger.add(WHO, None, ONE)
    await ledger.flush()
    await ledger.flush()
    assert await kept(database) == {Place(DAY, "a", "key_1", "m"): Amounts(2, 20, 8, 40, 10)}


def unavailable() -> None:
    raise StoreUnavailable("away", retry_after=1)


async def test_what_is_spent_is_the_same_before_during_and_after_writing_and_counts_other_servers(
    database, ledger, monkeypatch
):
    other = Ledger(database, lambda: "m")
    other.add(WHO, None, ONE)
    await other.flush()
    assert await ledger.spent(WHO) == 30
    ledger.add(WHO, None, ONE)
    assert await ledger.spent(WHO) == 60
    other.add(WHO, None, ONE)
    await other.flush()
    writing = asyncio.ensure_future(ledger.flush())
    while not writing.done():
        assert await ledger.spent(WHO) == 60
        await asyncio.sleep(0)
    assert await ledger.spent(WHO) == 60
    monkeypatch.setattr(usage, "FRESH", 0.0)  # the seconds are over
    assert await ledger.spent(WHO) == 90


async def test_a_stop_in_the_middle_of_a_write_counts_nothing_twice(database, ledger):
    for _ in range(20):
        other = Ledger(database, lambda: "m")
        other.start()
        other.add(WHO, None, ONE)
        writing = asyncio.ensure_future(other.flush())
        await asyncio.sleep(0)
        await other.stop()
        await writing
    assert await ledger.spent(WHO) == 20 * 30


async def test_what_cannot_be_written_at_the_end_is_in_the_log(database, ledger, monkeypatch):
    monkeypatch.setattr(usage, "EVERY", 0.0)
    monkeypatch.setattr(database, "transaction", unavailable)
    ledger.add(WHO, None, ONE)
    with capture_logs() as logs:
        await ledger.stop()
    assert [(line["key"], line["prompt_tokens"]) for line in logs if line["event"] == "usage lost"] == [("key_1", 10)]


async def test_a_new_day_begins_with_nothing_spent_and_a_month_goes_on(database, ledger, monkeypatch):
    monthly = Caller(Tenant("a"), "key_2", limits=Limits(budget=1000, period="month"))
    for who in (WHO, monthly):
        ledger.add(who, None, ONE)
    await ledger.flush()
    monkeypatch.setattr(usage, "today", lambda: "2026-01-30")
    for who in (WHO, monthly):
        ledger.add(who, None, ONE)
    await ledger.flush()
    monkeypatch.setattr(usage, "today", lambda: DAY)
    assert (await ledger.spent(WHO), await ledger.spent(monthly)) == (30, 60)
    monkeypatch.setattr(usage, "today", lambda: "2026-02-01")
    assert (await ledger.spent(WHO), await ledger.spent(monthly)) == (0, 0)


async def test_of_what_was_never_known_nothing_is_guessed_while_the_store_is_away(database, ledger, monkeypatch):
    monkeypatch.setattr(database, "reading", unavailable)
    with pytest.raises(StoreUnavailable):
        await ledger.spent(WHO)
