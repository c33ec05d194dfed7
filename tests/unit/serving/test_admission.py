"""Who is let into the engine, and when."""

import asyncio
import contextlib
import time

import pytest
from fathom.core.batch import AHEAD
from fathom.core.events import Finished, Queued
from fathom.serving import admission as admitting
from fathom.serving.admission import Admission
from fathom.serving.fair_queue import OUTPUT_WEIGHT, PROMPT_WEIGHT
from fathom.settings import LimitSettings
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from tests.rooms import Room, admission
from tests.unit.serving.played_engine import Engine
from tests.unit.serving.requests import prepared

LENGTHS = st.tuples(st.integers(1, 40), st.integers(1, 40))  # of a prompt, of its answer


@settings(deadline=None)
@given(st.data(), st.integers(1, 6), st.sampled_from([1.0, 2.0, 5.0]))
def test_two_tenants_that_wait_are_served_alike_within_the_bound_of_the_paper(data, seqs, weight):
    """|W_a / w_a - W_b / w_b| <= 2 max(w_p L, w_q M): L the longest prompt, M the most tokens in the batch."""
    engine = Engine(seqs)
    lengths = {tenant: data.draw(st.lists(LENGTHS, min_size=1, max_size=5), tenant) for tenant in "ab"}
    asked = dict.fromkeys("ab", 0)
    weights = {"a": weight, "b": 1.0}

    def ask(tenant: str) -> None:
        prompt, tokens = lengths[tenant][asked[tenant] % len(lengths[tenant])]
        asked[tenant] += 1
        engine.ask(tenant, prompt, tokens, weights[tenant])

    while not (engine.waits("a") and engine.waits("b")):
        for tenant in "ab":
            if not engine.waits(tenant):
                ask(tenant)
    begin = dict(engine.served)
    bound = 2 * max(PROMPT_WEIGHT * 40, OUTPUT_WEIGHT * (seqs + AHEAD) * 80)
    for _ in range(300):
        engine.step()
        for tenant in "ab":
            while not engine.waits(tenant):
                ask(tenant)
        one, other = ((engine.served[each] - begin.get(each, 0)) / weights[each] for each in "ab")
        assert abs(one - other) <= bound


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), LENGTHS, st.integers(0, 3)), max_size=60), st.integers(1, 5))
def test_nobody_waits_while_there_is_a_place_and_all_are_served_in_the_end(requests, seqs):
    engine = Engine(seqs)

    def holds() -> bool:
        return not engine.waiting or len(engine.running) == seqs + AHEAD

    for tenant, (prompt, tokens), steps in requests:
        engine.ask(tenant, prompt, tokens)
        assert holds()
        for _ in range(steps):
            engine.step()
            assert holds()
    for _ in range(60 * 40):
        engine.step()
    assert (engine.waiting, engine.running) == ([], [])
    assert engine.admission._capacity.choices == 0


def test_the_unfair_order_serves_who_asks_for_more():
    engine = Engine(2, fair=False)
    for _ in range(40):
        engine.ask("a", 10, 10)
    engine.ask("b", 10, 10)
    for _ in range(50):
        engine.step()
    assert engine.served["b"] == 0


def test_who_asks_for_little_is_served_at_once_beside_who_asks_for_much():
    engine = Engine(2)
    for _ in range(40):
        engine.ask("a", 10, 10)
    engine.ask("b", 10, 10)
    for _ in range(10):
        engine.step()
    assert engine.served["b"] > 0


def test_what_was_charged_is_set_right_in_the_end():
    one = admission()
    entry = one.enter(prepared(prompt=10, n=2))
    for _ in range(3):
        entry.produce()
    entry.finish(Finished("stop", 10, 7))
    entry.finish(Finished("stop", 10, 5, choice=1))
    one.leave(entry)
    assert one.served == 10 * PROMPT_WEIGHT + 12 * OUTPUT_WEIGHT
    assert entry.line.counter == one.served


def test_who_leaves_early_is_charged_for_what_has_come():
    one = admission()
    with one.enter(prepared(prompt=10)) as entry:
        for _ in range(13):
            entry.produce()
    assert one.served == 10 * PROMPT_WEIGHT + 13 * OUTPUT_WEIGHT


def test_a_tenants_answers_teach_how_long_its_next_one_will_be():
    one = admission()
    for _ in range(50):
        with one.enter(prepared(limit=1000)) as entry:
            entry.finish(Finished("stop", 10, 40))
    assert one.enter(prepared(limit=1000)).expected == pytest.approx(40, abs=2)
    assert one.enter(prepared(limit=15)).expected == 15
    assert one.enter(prepared("b", limit=1000)).expected > 100


def test_the_forecast_counts_down_and_has_a_time_once_the_pace_is_known(monkeypatch):
    now = [time.monotonic()]
    monkeypatch.setattr("fathom.serving.pace.time.monotonic", lambda: now[0])
    engine = Engine(1)
    for _ in range(AHEAD + 5):
        engine.ask("a", 10, 10)
    last = engine.waiting[-1][1]
    assert last.forecast() == Queued(4, None)
    positions = []
    while not last.called:
        now[0] += 0.1
        engine.step()
        positions += [] if last.called else [last.forecast()]
    assert [told.position for told in positions[-5:]] == [1] * 5
    assert positions[-1].wait is not None
    assert 0 < positions[-1].wait < 30


async def test_a_full_cache_is_looked_at_again_though_nothing_ends(monkeypatch):
    monkeypatch.setattr(admitting, "_LOOK_EVERY", 0.01)
    room = Room(kv_tokens=100)
    one = Admission(LimitSettings(), room)
    one.enter(prepared(prompt=50, limit=10))
    room.usage = 0.6
    second = one.enter(prepared(prompt=50, limit=10))
    assert not second.called
    room.usage = 0.0
    one._capacity.read(second)
    async with asyncio.timeout(5):
        await second.wait()
    assert second.called


async def test_waiting_ends_with_the_turn_or_with_the_time():
    one = admission(1)
    inside = [one.enter(prepared()) for _ in range(1 + AHEAD)]
    entry = one.enter(prepared())
    await entry.wait(0.01)
    assert not entry.called
    waiting = asyncio.ensure_future(entry.wait(60))
    await asyncio.sleep(0)
    inside[0].__exit__(None, None, None)
    async with asyncio.timeout(5):
        await waiting
    assert entry.called


async def test_who_leaves_while_waiting_is_out_of_the_queue_at_once():
    one = admission(1)
    inside = [one.enter(prepared()) for _ in range(1 + AHEAD)]
    gone, after = one.enter(prepared()), one.enter(prepared())
    assert REGISTRY.get_sample_value("fathom_queue_requests", {"tier": "default"}) == 2
    with contextlib.suppress(KeyError), gone:
        raise KeyError
    assert REGISTRY.get_sample_value("fathom_queue_requests", {"tier": "default"}) == 1
    assert after.forecast().position == 1
    inside[0].__exit__(None, None, None)
    assert after.called
    assert not gone.called


LIVES = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 4), st.none() | st.integers(0, 12)), min_size=1, max_size=40
)


@settings(deadline=None)
@given(LIVES, st.integers(1, 3))
def test_whenever_clients_leave_no_place_is_lost_and_no_turn_is_forgotten(lives, seqs):
    """Each is a tenant, how long it stays in the engine, and when it is cancelled, if it is."""
    one = admission(seqs)
    served: list[int] = []

    async def live(at: int, tenant: str, stays: int) -> None:
        with one.enter(prepared(tenant, patient=True)) as entry:
            while not entry.called:
                await entry.wait(60)
            for _ in range(stays):
                entry.produce()
                await asyncio.sleep(0)
            served.append(at)

    async def all_of_them() -> None:
        tasks = [asyncio.create_task(live(at, tenant, stays)) for at, (tenant, stays, _) in enumerate(lives)]
        for moment in range(14):
            for task, (_, _, cancelled) in zip(tasks, lives, strict=True):
                if cancelled == moment:
                    task.cancel()
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(all_of_them())
    assert one._capacity.choices == 0
    assert one._queue.next is None
    assert {at for at, (_, _, cancelled) in enumerate(lives) if cancelled is None} <= set(served)
