from fathom.telemetry.tally import Tally
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

BOUNDS = (0.001, 0.5, 1, 5)


def exposed(kind: type[Histogram], values: list[float]) -> list[str]:
    registry = CollectorRegistry()
    histogram = kind("seconds", "Of a test.", buckets=BOUNDS, registry=registry)
    for value in values:
        histogram.observe(value)
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


@given(st.lists(st.floats(0, 10) | st.sampled_from(BOUNDS)))
def test_it_says_what_a_histogram_of_prometheus_says(values: list[float]):
    assert exposed(Tally, values) == exposed(Histogram, values)
