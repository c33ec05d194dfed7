"""Who is let into the engine, and when: an engine that makes one token a step for each choice, played by the test."""

import asyncio
import contextlib
import time
from collections import defaultdict

import pytest
from fathom.core.batch import AHEAD, engine_places
from fathom.core.events import Finished, Queued
from fathom.core.tenant import Caller, Tenant
from fathom.serving import admission as admitting
from fathom.serving.admission import Admission, Entry
from fathom.serving.fair_queue import OUTPUT_WEIGHT, PROMPT_WEIGHT
from fathom.settings import LimitSettings
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from tests.rooms import Room, admission
from tests.unit.serving.clock import Clock
from tests.unit.serving.requests import prepared


class Engine:
    """served: by tenant, at the weights of the counters."""

    def __init__(self, seqs: int, *, fair: bool = True) -> None:
        self.seqs = seqs
        self.admission = admission(seqs, fair=fair)
        self.waiting: list[tuple[str, Entry, int]] = []
        self.running: list[tuple[str, Entry, int]] = []
        self.served: defaultdict[str, float] = defaultdict(float)

    def ask(self, tenant: str, prompt: int, tokens: int, weight: float = 1.0) -> None:
        asked = prepared(tenant, prompt, 1000, weight=weight, patient=True)
        self.waiting.append((tenant, self.admission.enter(asked), tokens))
        self.look()

    def look(self) -> None:
        """Those whose turn has come are in the batch."""
        for one in [one for one in self.waiting if one[1].called]:
            tenant, entry, _ = one
            self.waiting.remove(one)
            self.running.append(one)
            self.served[tenant] += PROMPT_WEIGHT * entry.prompt_tokens

    def step(self) -> None:
        for at, (tenant, entry, left) in enumerate(self.running):
            entry.read()
            entry.produce()
            self.served[tenant] += OUTPUT_WEIGHT
            self.running[at] = (tenant, entry, left - 1)
        done = [one for one in self.running if not one[2]]
        self.running = [one for one in self.running if one[2]]
        for _, entry, _ in done:
            entry.finish(Finished("stop", entry.prompt_tokens, entry._produced))
            entry.__exit__(None, None, None)
        self.look()

    def waits(self, tenant: str) -> bool:
        """With more than the engine can take."""
        return sum(one[0] == tenant for one in self.waiting) > self.seqs + AHEAD


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


def test_the_last_places_are_for_who_is_next_when_it_comes_and_not_for_who_fills_the_rest():
    engine = Engine(engine_places(8))
    for _ in range(8 + AHEAD):
        engine.ask("a", 10, 100)
    engine.ask("b", 10, 100)  # nothing waits, and it has little
    assert engine.running[-1][0] == "b"
    engine.ask("a", 10, 100)
    assert engine.waiting[-1][0] == "a"
    engine.step()
    for tenant in ("c", "d", "e"):
        engine.ask(tenant, 10, 100)  # past what waits
        assert engine.running[-1][0] == tenant
    engine.ask("f", 10, 100)
    assert [tenant for tenant, *_ in engine.waiting] == ["a", "f"]


def test_who_has_little_and_waits_gets_the_last_place_that_becomes_free_and_who_fills_the_rest_does_not():
    engine = Engine(engine_places(8))

    def steps(number: int) -> list[str]:
        """After which these wait."""
        for _ in range(number):
            engine.step()
        return [tenant for tenant, *_ in engine.waiting]

    for _ in range(10 + AHEAD):
        engine.ask("a", 10, 200)
    engine.ask("b", 10, 26)
    assert steps(8) == ["a", "a"]
    engine.ask("b", 10, 40)
    assert steps(8) == ["a", "a"]
    for tenant in ("c", "d", "e"):
        engine.ask(tenant, 1, 200)
    assert steps(9) == ["a", "a", "e"]  # all places are taken
    assert steps(1) == ["a", "a"]  # one of b's has ended
    assert steps(40) == ["a", "a"]  # and the other, whose place is left to the next one who has little
    assert len(engine.running) == 13


def test_who_was_served_more_than_those_that_wait_gets_a_last_place_after_them():
    engine = Engine(engine_places(8))
    for _ in range(7 + AHEAD):
        engine.ask("a", 10, 100)
    engine.ask("b", 10, 100)
    engine.ask("a", 10, 100)
    for _ in range(5):
        engine.step()
    assert engine.admission._queue.next is not None
    engine.ask("b", 1000, 100)
    assert engine.running[-1][0] == "b"
    engine.ask("b", 10, 100)
    assert [tenant for tenant, *_ in engine.running[-2:]] == ["a", "b"]


def test_having_been_away_earns_no_more_than_the_credit_in_the_last_places_either():
    engine = Engine(engine_places(8))
    one = engine.admission
    for _ in range(200):
        engine.ask("a", 10, 100)
    for _ in range(300):
        engine.step()
    engine.ask("b", 10, 100)
    assert engine.running[-1][0] == "b"
    line = one._queue.line(Caller(Tenant("b")), "default")
    contest = line.band.contest
    assert line.counter >= min(each.counter for each in contest.waiting) - contest.credit


def test_a_burst_of_who_sends_little_is_served_before_who_fills_the_engine(monkeypatch):
    """Two seconds of the engine's pace, however long it was away."""
    clock = Clock()
    monkeypatch.setattr("fathom.serving.pace.time", clock)
    engine = Engine(4)
    engine.ask("b", 10, 10)
    for _ in range(100):
        engine.ask("a", 10, 10)
    for _ in range(100):
        clock.now += 0.1
        engine.step()
    cost = 10 * PROMPT_WEIGHT + 10 * OUTPUT_WEIGHT
    credit = engine.admission._queue.line(Caller(Tenant("b")), "default").band.contest.credit
    assert credit == pytest.approx(2.0 * (4 + AHEAD) * cost, rel=0.3)  # what it serves in a second
    before = engine.served["a"]
    for _ in range(8):
        engine.ask("b", 10, 10)
    while any(tenant == "b" for tenant, *_ in engine.waiting):
        clock.now += 0.1
        engine.step()
    assert engine.served["a"] - before <= (4 + AHEAD) * cost  # what was in the engine already


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
