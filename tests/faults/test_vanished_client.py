"""A client whose machine is gone: no packet tells. It lives in a network namespace of its own, whose cable is cut."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator

import pytest
from fathom.cli import server as serving
from fathom.core.events import Accepted, Event, TextDelta
from fathom.core.generation import GenerationRequest
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.settings import load

from tests.running import app_running, until

NAME = f"fathom{os.getpid() % 100_000}"
_NETWORK = f"10.203.{os.getpid() % 250}"  # a run that was killed may have left its own behind
OURS, THEIRS = f"{_NETWORK}.1", f"{_NETWORK}.2"
CLIENT = """
import http.client, json, sys
connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]))
connection.request("POST", "/v1/chat/completions", sys.argv[3], {"Content-Type": "application/json"})
response = connection.getresponse()
while response.readline():
    pass
"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _can_make_networks() -> bool:
    if os.geteuid() or not shutil.which("ip"):
        return False
    made = subprocess.run(["ip", "netns", "add", NAME], capture_output=True).returncode == 0
    if made:
        ip("netns", "delete", NAME)
    return made


pytestmark = pytest.mark.skipif(not _can_make_networks(), reason="needs root, iproute2 and network namespaces")


@pytest.fixture
def cable() -> Iterator[None]:
    ip("netns", "add", NAME)
    try:
        ip("link", "add", NAME, "type", "veth", "peer", "name", "eth0", "netns", NAME)
        ip("address", "add", f"{OURS}/30", "dev", NAME)
        ip("link", "set", NAME, "up")
        ip("-n", NAME, "address", "add", f"{THEIRS}/30", "dev", "eth0")
        ip("-n", NAME, "link", "set", "eth0", "up")
        yield
    finally:
        subprocess.run(["ip", "link", "delete", NAME], capture_output=True)
        ip("netns", "delete", NAME)


def script(_request: GenerationRequest) -> Iterable[Event]:
    yield Accepted(1)
    while True:
        yield TextDelta("word ")


@pytest.mark.parametrize("stream", [True, False], ids=["a stream", "an answer in one piece"])
def test_a_client_that_vanishes_is_noticed_and_its_request_aborted(
    cable: None, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_PROBES_AFTER", 1)
    monkeypatch.setattr(serving, "_PROBES_EVERY", 1)
    patience = {"http.port": 0, "http.write_timeout": 1.5, "http.keep_alive": 60}
    listening = serving.listen(load({**patience, "http.host": OURS}).http)
    engine = ScriptedEngine(script, delay=0.05)
    with app_running(engine, load(patience), listening=listening) as here:  # which asks for no key
        until(lambda: here.get("/readyz").status_code == 200, "the engine is ready")
        body = {"model": "scripted", "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
        command = ["ip", "netns", "exec", NAME, sys.executable, "-c", CLIENT, OURS, str(here.base_url.port)]
        client = subprocess.Popen([*command, json.dumps(body)])
        try:
            until(lambda: engine.running, "the request runs")
            time.sleep(4)
            assert not engine.aborted, "as long as it is there, it is served"
            ip("-n", NAME, "link", "set", "eth0", "down")
            until(lambda: engine.aborted, "the request is aborted", 15)
        finally:
            client.kill()
            client.wait()
