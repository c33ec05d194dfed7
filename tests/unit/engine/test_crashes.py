from fathom.engine.crashes import Crashes


def test_the_first_crash_is_followed_by_a_start_at_once_and_later_ones_wait_longer_and_longer():
    counted = Crashes(most=10, window=600)
    waits = []
    for _ in range(8):
        counted.add(0)
        waits.append(counted.wait)
    assert waits == [0, 1, 2, 4, 8, 16, 30, 30]


def test_too_many_are_more_than_the_most_within_the_window():
    counted = Crashes(most=2, window=60)
    counted.add(1000)
    counted.add(0)
    assert not counted.too_many
    counted.add(59)
    assert counted.too_many
    counted.add(61)
    assert counted.count == 1
    assert not counted.too_many
    assert counted.wait == 0


def test_starts_that_fail_are_too_many_however_long_they_take():
    counted = Crashes(most=5, window=600)
    counted.add(10_000)
    for _ in range(5):
        assert not counted.too_many
        counted.add(0)
    assert counted.too_many


def test_no_crash_at_all_may_be_borne():
    counted = Crashes(most=0, window=60)
    assert not counted.too_many
    counted.add(0)
    assert counted.too_many
