import pytest
from fathom.serving import pace as measuring
from fathom.serving.pace import Pace

from tests.unit.serving.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(measuring, "time", clock)
    return clock


def run(pace: Pace, clock: Clock, seconds: float, rate: float, *, waiting: bool = True, begin: float = 0.0) -> float:
    """It is told ten times a second."""
    served = begin
    pace.see(served, waiting=waiting)
    for _ in range(round(seconds * 10)):
        clock.now += 0.1
        served += rate / 10
        pace.see(served, waiting=waiting)
    return served


def test_nothing_is_foretold_before_anything_was_measured(clock):
    pace = Pace()
    run(pace, clock, 0.3, 100)
    assert pace.seconds(50) is None


def test_what_was_served_while_requests_waited_says_how_long_the_rest_takes(clock):
    pace = Pace()
    run(pace, clock, 3, 100)
    assert pace.seconds(50) == pytest.approx(0.5)


def test_an_engine_that_is_not_full_is_not_measured(clock):
    pace = Pace()
    served = run(pace, clock, 3, 100)
    run(pace, clock, 30, 1, waiting=False, begin=served)
    assert pace.rate == pytest.approx(100)


def test_it_follows_an_engine_that_becomes_slower(clock):
    pace = Pace()
    served = run(pace, clock, 5, 100)
    run(pace, clock, 30, 50, begin=served)
    assert pace.rate == pytest.approx(50, rel=0.1)


def test_an_engine_that_is_started_again_is_not_taken_for_a_slow_one(clock):
    pace = Pace()
    served = run(pace, clock, 5, 100)
    clock.now += 30
    pace.see(served + 1, waiting=True)
    run(pace, clock, 8, 0, begin=served + 1)
    assert pace.rate == pytest.approx(100, rel=0.1)
