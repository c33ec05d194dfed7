import pytest
from fathom.engine import crashes
from fathom.engine.crashes import Crashes


@pytest.fixture
def clock(monkeypatch):
    """Stands still unless a test moves it: clock[0] is the time."""
    time = [1000.0]
    monkeypatch.setattr(crashes.time, "monotonic", lambda: time[0])
    return time


def test_the_first_crash_is_followed_by_a_start_at_once_and_later_ones_wait_longer_and_longer(clock):
    counted = Crashes(most=10, window=600)
    waits = []
    for _ in range(8):
        counted.add()
        waits.append(counted.wait)
    assert waits == [0, 1, 2, 4, 8, 16, 30, 30]


def test_too_many_are_more_than_the_most_within_the_window(clock):
    counted = Crashes(most=2, window=60)
    counted.add()
    counted.add()
    assert not counted.too_many
    clock[0] += 59
    counted.add()
    assert counted.too_many
    clock[0] += 2
    assert counted.count == 1
    assert not counted.too_many
    assert counted.wait == 0


def test_no_crash_at_all_may_be_borne(clock):
    counted = Crashes(most=0, window=60)
    assert not counted.too_many
    counted.add()
    assert counted.too_many
