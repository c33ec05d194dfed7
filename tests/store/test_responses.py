from dataclasses import replace

import pytest
from fathom.store.database import Database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.rows import TENANT, add, done, dump, events, get, item, queued, running

NASTY = "\0 \x7f ü 漢 \U0001f600 ￾ ' \" \\ %s $1 \\u0000 </s>"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


async def test_a_row_is_read_as_it_was_added(database: Database) -> None:
    row = running(
        background=False, previous_id="resp_0", begun=True, next_number=7, body={"a": [1, None, {"b": NASTY}]}
    )
    await add(database, row)
    assert await get(database) == row


async def test_input_is_read_in_its_order(database: Database) -> None:
    given = [item("b", NASTY), item("a"), item("c")]
    await add(database, queued(), items=given)
    async with database.reading() as work:
        assert await work.responses.input("resp_1") == given
        assert await work.responses.output("resp_1") == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(value=json_values)
async def test_whatever_json_can_say_is_kept(database: Database, value: object) -> None:
    async with database.transaction() as work:
        await work.responses.delete(TENANT, "resp_1")
        await work.responses.add(queued(body={"value": value}), [item("a") | {"value": value}])
        kept = await work.responses.get(TENANT, "resp_1")
        assert kept
        assert kept.body == {"value": value}
        assert (await work.responses.input("resp_1"))[0]["value"] == value


async def test_the_log_can_begin_with_the_row(database: Database) -> None:
    await add(database, queued(), events=events(0, 1))
    row = await get(database)
    assert row
    assert row.next_number == 2
    async with database.reading() as work:
        assert await work.responses.events("resp_1", -1) == events(0, 1)


async def test_a_deleted_response_leaves_nothing(database: Database, database_url: str) -> None:
    empty = await dump(database_url)
    await add(database, running(), items=[item("a")], events=events(0))
    async with database.transaction() as work:
        assert await work.responses.delete(TENANT, "resp_1")
    assert await dump(database_url) == empty
    async with database.transaction() as work:
        assert not await work.responses.delete(TENANT, "resp_1")


async def test_a_response_is_prolonged_with_its_ancestors_and_never_shortened(database: Database) -> None:
    await add(
        database,
        done("resp_1", expires_at=5000),
        done("resp_2", previous_id="resp_1", expires_at=20),
        done("resp_3", previous_id="resp_2", expires_at=30),
        done("resp_4", previous_id="resp_2", expires_at=40),
    )
    async with database.transaction() as work:
        await work.responses.prolong(TENANT, "resp_3", 1000)
    found = [await get(database, f"resp_{number}") for number in (1, 2, 3, 4)]
    assert [row.expires_at for row in found if row] == [5000, 1000, 1000, 40]


async def test_a_sweep_deletes_what_has_ended_and_expired_a_few_at_a_time(database: Database) -> None:
    expired = [done(f"resp_{number}", expires_at=number) for number in range(5)]
    kept = [
        done("resp_later", expires_at=101),
        queued("resp_queued", expires_at=1),
        running("resp_running", expires_at=1),
        done("resp_now", expires_at=100),
    ]
    await add(database, *expired, *kept, items=[item("a")])
    swept = []
    for _ in range(4):
        async with database.transaction() as work:
            swept.append(await work.responses.sweep(100, 2))
    assert swept == [2, 2, 1, 0]
    assert all([await get(database, row.id) for row in kept])


@pytest.mark.parametrize("id", ["", "resp_2", "\0", "resp_1\0", "\ud800", "x" * 10_000_000, "' OR 1=1 --", "%"])
async def test_an_id_that_no_response_has_is_missing(database: Database, id: str) -> None:
    await add(database, done())
    async with database.transaction() as work:
        assert await work.responses.get(TENANT, id) is None
        assert await work.responses.conversation(TENANT, id) is None
        assert await work.responses.items(TENANT, [id]) == {}
        assert not await work.responses.delete(TENANT, id)
    assert await get(database) == done()


async def test_an_item_can_have_an_id_that_no_index_can(database: Database) -> None:
    odd = [item("\0"), item("x" * 1_000_000), item("ü" * 200)]
    await add(database, queued(), items=odd)
    async with database.reading() as work:
        assert await work.responses.input("resp_1") == odd
        assert await work.responses.items(TENANT, [each["id"] for each in odd]) == {odd[2]["id"]: odd[2]}


async def test_the_rows_of_another_tenant_are_not_there(database: Database) -> None:
    theirs = replace(done(), tenant="them")
    await add(database, theirs, items=[item("a")])
    await add(database, done("resp_2", previous_id="resp_1"))
    async with database.transaction() as work:
        assert await work.responses.get(TENANT, "resp_1") is None
        assert await work.responses.conversation(TENANT, "resp_1") is None
        assert await work.responses.items(TENANT, ["a"]) == {}
        assert not await work.responses.delete(TENANT, "resp_1")
        await work.responses.prolong(TENANT, "resp_1", 99_000)
        await work.responses.prolong(TENANT, "resp_2", 99_000)
        conversation = await work.responses.conversation(TENANT, "resp_2")
        assert conversation
        assert conversation.missing == "resp_1"
    assert await get(database, "resp_1", "them") == theirs
