from fathom.telemetry.tally import Tally
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY, CollectorRegistry, Histogram, generate_latest

BOUNDS = (0.001, 0.25, 1, 5)
NAME = "fathom_test_seconds"


@given(st.lists(st.floats(0, 10) | st.sampled_from(BOUNDS), max_size=20))
def test_it_says_what_a_histogram_says(values):
    apart = CollectorRegistry()
    histogram, tally = Histogram(NAME, "Of a test.", buckets=BOUNDS, registry=apart), Tally(NAME, "Of a test.", BOUNDS)
    try:
        for value in values:
            histogram.observe(value)
            tally.observe(value)
        assert samples(REGISTRY) == samples(apart)
    finally:
        REGISTRY.unregister(tally)


def samples(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if NAME in line and "_created" not in line]
