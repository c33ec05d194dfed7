import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.network import NetworkGuard
from tests.contract.recorder import Recorder
from tests.running import Server

os.environ |= {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches one when it is imported
    "LANGSMITH_TRACING": "false",
    "NO_PROXY": "127.0.0.1,localhost",
}

NODE_SCRIPTS = Path(__file__).with_name("node")
NODE_FOLDER = Path(sys.prefix) / "contract-node"  # where they run, beside their packages
OLDEST_NODE = 18

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
    """Path of node, with the pinned packages installed (a few seconds, once for each change of the lock)."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed: apt-get install nodejs npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(re.findall(r"\d+", version)[0]) < OLDEST_NODE:
        pytest.skip(f"node is {version.strip()}; these clients run on {OLDEST_NODE} and later")
    install_packages(npm)
    return node


def install_packages(npm: str) -> None:
    shutil.copytree(NODE_SCRIPTS, NODE_FOLDER, dirs_exist_ok=True)
    lock = hashlib.sha256((NODE_FOLDER / "package-lock.json").read_bytes()).hexdigest()
    stamp = NODE_FOLDER / "node_modules" / ".fathom"
    if stamp.exists() and stamp.read_text() == lock:
        return
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier")
    done = subprocess.run(
        [npm, "ci", *quiet], cwd=NODE_FOLDER, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, f"npm ci failed:\n{done.stdout}{done.stderr}"
    stamp.write_text(lock)


@pytest.fixture
def run(node: str, recorder: Recorder) -> Callable[[str, str], dict[str, Any]]:
    """Runs a scenario of a script and returns what it printed."""

    def run(script: str, scenario: str) -> dict[str, Any]:
        done = subprocess.run(
            [node, "--import", "./guard.mjs", script, recorder.url, scenario],
            cwd=NODE_FOLDER,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    return run
