"""What signals do to a server, with real signals and a real process, but no model. The whole of it, with one, is in
tests/faults/test_drain.py."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.readings import Reading
from tests.running import Server, start_program, until

pytestmark = pytest.mark.slow

FAILING = {"FATHOM_HTTP__HOST": "0.0.0.0", "FATHOM_MODEL__MODEL": "broken"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """It gives streams a minute, and an engine one life."""
    with serving(tmp_path) as server:
        yield server


@contextmanager
def serving(folder: Path, **more: str) -> Iterator[Server]:
    """A server whose log and database are in the folder. more: settings, as environment variables."""
    settings = {"FATHOM_HTTP__SHUTDOWN_GRACE": "60", "FATHOM_ENGINE__RESTARTS": "0", **more}
    server = start_program("tests.unit.cli.scripted_serve", folder / "fathom.log", **settings)
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


def test_a_server_that_others_reach_makes_a_key_at_its_first_start_and_shows_it_once(tmp_path: Path) -> None:
    open_to_all = {"FATHOM_HTTP__HOST": "0.0.0.0"}
    with serving(tmp_path, **open_to_all) as server:
        until(lambda: "Try it" in server.log.read_text(), "the banner is there")
        [secret, again] = re.findall(r"fk-[\w-]{43}", server.log.read_text())
        assert secret == again  # in the banner, and in its curl line
        assert f"access    {secret}" in server.log.read_text()
        assert all(secret not in line for line in server.log.read_text().splitlines() if line.startswith("{"))
        assert ask(server, "hello").status_code == 401
        server.client.headers["x-api-key"] = secret
        assert ask(server, "hello").status_code == 200
        assert server.client.get("/admin/keys").json()["data"][0]["name"] == "first"
    for more in (open_to_all, {}):
        with serving(tmp_path, **more) as server:
            until(lambda: "Try it" in server.log.read_text(), "the banner is there")
            assert "fk-" not in server.log.read_text()
            assert "Bearer $FATHOM_API_KEY" in server.log.read_text()
            assert ask(server, "hello").status_code == 401
            server.client.headers["x-api-key"] = secret
            assert ask(server, "hello").status_code == 200


def test_a_server_on_loopback_makes_no_key(server: Server) -> None:
    until(lambda: "Try it" in server.log.read_text(), "the banner is there")
    assert "open to this machine" in server.log.read_text()
    assert "fk-" not in server.log.read_text()
    assert server.client.get("/admin/keys").json()["data"] == []


def test_a_start_that_fails_makes_no_key(tmp_path: Path) -> None:
    """Nobody would see it."""
    with pytest.raises(AssertionError, match="the server ended"), serving(tmp_path, **FAILING):
        pass
    with closing(sqlite3.connect(tmp_path / "fathom.db")) as file:
        assert file.execute("SELECT count(*) FROM keys").fetchone() == (0,)


def test_what_one_server_does_to_keys_holds_at_the_next_call_on_another(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    shared = {"FATHOM_STORE__URL": f"sqlite+aiosqlite:///{tmp_path}/fathom.db"}
    with serving(folders[0], **shared) as one, serving(folders[1], **shared) as two:
        for _ in range(3):
            made = one.client.post("/admin/keys", json={"scopes": ["inference", "admin"]}).json()
            key = {"x-api-key": made["secret"]}
            assert two.client.get("/v1/models").status_code == 401
            assert two.client.get("/v1/models", headers=key).status_code == 200
            assert (
                "x-fathom-unconfirmed-servers"
                not in two.client.delete(f"/admin/keys/{made['id']}", headers=key).headers
            )
            assert one.client.get("/v1/models", headers=key).status_code == 401
            one.client.headers["x-api-key"] = make_another(tmp_path)


def make_another(folder: Path) -> str:
    """As an operator who has locked himself out."""
    command = [sys.executable, "-m", "fathom", "keys", "create", "--scope", "admin", "--json"]
    store = ["--set", f"store.url=sqlite+aiosqlite:///{folder}/fathom.db"]
    made = subprocess.run([*command, *store], capture_output=True, text=True, check=True)
    secret: str = json.loads(made.stdout)["secret"]
    return secret
