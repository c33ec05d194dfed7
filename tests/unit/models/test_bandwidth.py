from fathom.models import bandwidth


def test_memory_is_read_at_a_speed_that_memory_can_have() -> None:
    assert 1e8 < bandwidth.measure() < 1e13
