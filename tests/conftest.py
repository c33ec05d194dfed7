from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.running import Server, start_server

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, metavar="N", help="lose the engine N times in tests/faults, as `make faults`")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The embedded model on a real vLLM engine, started once for all tests that need it.

    It runs under the user's own FATHOM_HOME, so that a model that is already converted is not converted again.
    """
    log = tmp_path_factory.mktemp("server") / "server.log"
    server = start_server(log, "--kv-cache-memory", "1", "--log-format", "json")
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()
