"""Who may have the last places of a batch, and what a tenant that comes back has a credit for."""

import pytest
from fathom.core.batch import AHEAD, engine_places
from fathom.core.tenant import Caller, Tenant
from fathom.serving.fair_queue import OUTPUT_WEIGHT, PROMPT_WEIGHT

from tests.unit.serving.clock import Clock
from tests.unit.serving.played_engine import Engine


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
