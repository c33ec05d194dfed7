import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.javascript import Scripts, installed_node
from tests.contract.network import NetworkGuard
from tests.contract.recorder import Recorder
from tests.running import Server

os.environ |= {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches one when it is imported
    "LANGSMITH_TRACING": "false",
    "NO_PROXY": "127.0.0.1,localhost",
}

GUARD = NetworkGuard()
GUARD.active = True  # also while the clients are imported


def pytest_collection_finish() -> None:
    GUARD.active = False


@pytest.fixture(autouse=True)
def only_loopback() -> Iterator[None]:
    """Fails a test whose client talked, or tried to talk, to anyone but this machine."""
    GUARD.active = True
    yield
    GUARD.active = False
    refused, GUARD.refused = GUARD.refused, []
    assert not refused, f"a client left this machine: {refused}"


@pytest.fixture(scope="session")
def wire(server: Server) -> Iterator[Recorder]:
    recorder = Recorder(server.port)
    yield recorder
    recorder.stop()


@pytest.fixture
def recorder(wire: Recorder) -> Iterator[Recorder]:
    """The server as clients see it: through a proxy that checks every response, at the latest when the test ends."""
    wire.exchanges.clear()
    yield wire
    wire.check()


@pytest.fixture(scope="session")
def node() -> str:
    return installed_node()


@pytest.fixture(scope="session")
def scripts(node: str, wire: Recorder) -> Iterator[Scripts]:
    scripts = Scripts(node, wire.url)
    yield scripts
    scripts.stop()


@pytest.fixture
def run(scripts: Scripts, recorder: Recorder) -> Callable[[str, str], dict[str, Any]]:
    """Runs a scenario of a script and returns what it gave."""
    return scripts.run
