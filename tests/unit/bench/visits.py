"""Measurements that were never made, for tests of what is done with them."""

from tests.bench.process import Memory
from tests.bench.results import Visit
from tests.bench.vllm_client import Load


def visit(server: str, speed: float = 100.0, ready: float = 20.0) -> Visit:
    loads = tuple(
        Load(streams, speed * streams, ttft_p50=50, ttft_p99=90, itl_p50=10, itl_p99=20, cpu=80) for streams in (1, 16)
    )
    return Visit(server, ready, ready + 1, Memory(700, 600, 2000), Memory(800, 650, 2100), loads)
