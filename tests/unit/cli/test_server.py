"""What signals do to a server, with real signals and a real process, but no model. The whole of it, with one, is in
tests/faults/test_drain.py."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.readings import Reading
from tests.running import Server, free_port, until

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """It gives streams a minute, and an engine one life."""
    port, log = free_port(), tmp_path / "log"
    settings = {
        "FATHOM_HTTP__PORT": str(port),
        "FATHOM_HTTP__SHUTDOWN_GRACE": "60",
        "FATHOM_ENGINE__RESTARTS": "0",
        "FATHOM_STORE__URL": f"sqlite+aiosqlite:///{tmp_path}/fathom.db",
    }
    with log.open("w") as out:
        command = [sys.executable, "-m", "tests.unit.cli.scripted_serve"]
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, text=True, env={**os.environ, **settings}
        )
    server = Server(process, port, log)
    try:
        server.wait_ready(30)
        yield server
    finally:
        server.kill()


def endless(server: Server) -> Reading:
    """A stream that has begun."""
    body = {"model": "scripted", "messages": [{"role": "user", "content": "for ever"}], "stream": True}
    return Reading(server.client, "POST", "/v1/chat/completions", json=body).until("word")


def ask(server: Server, text: str) -> httpx.Response:
    body = {"model": "scripted", "messages": [{"role": "user", "content": text}]}
    return server.client.post("/v1/chat/completions", json=body)


def test_a_second_signal_ends_it_at_once_and_with_an_error(server: Server) -> None:
    reading = endless(server)
    os.kill(server.process.pid, signal.SIGINT)
    until(lambda: server.client.get("/readyz").json()["phase"] == "draining", "it drains")
    os.kill(server.process.pid, signal.SIGTERM)
    assert server.process.wait(5) == 1
    reading.to_the_end()
    assert reading.broken
    assert not reading.ended_well
    log = server.log.read_text()
    assert '"reason": "SIGINT", "live": 1, "grace": 60.0' in log
    assert "Traceback" not in log


def test_an_engine_that_is_lost_for_good_ends_it_without_the_grace_time(server: Server) -> None:
    reading = endless(server)
    began = time.monotonic()
    refused = ask(server, "die")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "engine_unavailable")
    assert server.process.wait(10) == 1
    assert time.monotonic() - began < 5
    assert '"code":"engine_unavailable"' in reading.to_the_end()
    assert not reading.ended_well
    assert server.log.read_text().splitlines()[-1].startswith("fathom: error: ")


def test_with_nothing_under_way_a_signal_ends_it_at_once(server: Server) -> None:
    assert ask(server, "hello").status_code == 200  # and its connection stays open
    began = time.monotonic()
    os.kill(server.process.pid, signal.SIGTERM)
    assert server.process.wait(10) == 0
    assert time.monotonic() - began < 2
