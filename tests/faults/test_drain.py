"""A server is asked to end while it makes streams of every dialect, and while others wait for their turn."""

import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import psutil

from tests.contract.cases import MODEL
from tests.readings import Reading
from tests.running import Server, gone, start_server, until

Json = dict[str, Any]

CHAT, COMPLETIONS, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses"
GRACE = 8.0  # seconds
SHORT, ENDLESS = 40, 1800  # tokens
QUESTION = (
    "Write a long novel about a ship, chapter by chapter."  # in Messages, nothing else keeps a model from its end
)
KINDS: list[tuple[str, Json]] = [
    (CHAT, {}),
    (COMPLETIONS, {}),
    (MESSAGES, {}),
    (RESPONSES, {}),
    (RESPONSES, {"background": True}),
]


def body(path: str, tokens: int, **fields: Any) -> Json:
    messages = [{"role": "user", "content": QUESTION}]
    asked: dict[str, Json] = {
        CHAT: {"messages": messages, "max_tokens": tokens, "ignore_eos": True},
        COMPLETIONS: {"prompt": QUESTION, "max_tokens": tokens, "ignore_eos": True},
        MESSAGES: {"messages": messages, "max_tokens": tokens},
        RESPONSES: {"input": QUESTION, "max_output_tokens": tokens, "ignore_eos": True},
    }
    return {"model": MODEL, "temperature": 0, **asked[path], **fields}


def streams(server: Server, tokens: int) -> list[Reading]:
    """One of each kind."""
    bodies = [(path, body(path, tokens, stream=True, **fields)) for path, fields in KINDS]
    return [Reading(server.client, "POST", path, json=each) for path, each in bodies]


def test_a_server_that_is_asked_to_end_lets_streams_finish_and_tells_the_others(tmp_path: Path) -> None:
    settings = {"FATHOM_HTTP__SHUTDOWN_GRACE": str(GRACE), "FATHOM_STORE__BACKGROUND_SLOTS": "2"}
    server = start_server(tmp_path / "log", "--kv-cache-memory", "0.5", "--max-model-len", "2048", **settings)
    try:
        server.wait_ready()
        processes = psutil.Process(server.process.pid).children(recursive=True)
        short, endless = streams(server, SHORT), streams(server, ENDLESS)
        whole = Reading(server.client, "POST", CHAT, json=body(CHAT, ENDLESS))
        for (path, _), *begun in zip(KINDS, short, endless, strict=True):
            for reading in begun:
                reading.until('"text"' if path == COMPLETIONS else "delta", 60)
        queued = server.client.post(RESPONSES, json=body(RESPONSES, SHORT, background=True)).json()["id"]
        follower = Reading(server.client, "GET", f"{RESPONSES}/{queued}", params={"stream": True}).until("queued")

        began = time.monotonic()
        for process in (psutil.Process(server.process.pid), *processes):  # as Ctrl+C and service managers do
            process.send_signal(signal.SIGTERM)
        check_that_it_drains(server, queued)
        follower.to_the_end()
        for reading in (*short, *endless, whole):
            reading.to_the_end(GRACE + 10)
        assert server.process.wait(15) == 0
        print(f"ended {time.monotonic() - began:.1f} s after SIGTERM")
    finally:
        server.kill()
    until(lambda: gone(processes), "no process of the engine is left")
    check_ends(short, endless, whole, follower)
    check_rows(tmp_path / "log.db", endless, queued)
    log = server.log.read_text()
    assert '"finished": 5, "cut": 6' in log
    assert "engine lost" not in log
    assert "Traceback" not in log


def check_that_it_drains(server: Server, queued: str) -> None:
    def phase() -> str:
        return str(server.client.get("/readyz").json()["phase"])

    until(lambda: phase() == "draining", "it says that it drains", 5)
    assert server.client.get("/readyz").status_code == 503
    assert server.client.get("/livez").status_code == 200
    assert server.client.get(f"{RESPONSES}/{queued}").json()["status"] == "queued"
    for path, fields in KINDS:
        refused = server.client.post(path, json=body(path, SHORT, **fields))
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)


def check_ends(short: list[Reading], endless: list[Reading], whole: Reading, follower: Reading) -> None:
    for reading in short:
        assert reading.ended_well
        assert "shutting down" not in reading.text
    for reading in endless:
        assert not reading.broken
        assert not reading.ended_well
        assert "shutting down" in reading.text.split("\n\n")[-2]
    assert (whole.status, "shutting down" in whole.text) == (503, True)
    assert (follower.last["type"], follower.last["code"]) == ("error", "shutting_down")


def check_rows(database: Path, endless: list[Reading], queued: str) -> None:
    """What clients were told is what is stored, and nothing is left half done."""
    with sqlite3.connect(database) as connection:
        found = {
            id: (status, body) for id, status, body in connection.execute("SELECT id, status, body FROM responses")
        }
    connection.close()
    assert found.pop(queued)[0] == "queued"
    for reading in endless[-2:]:
        status, stored = found.pop(reading.last["response"]["id"])
        assert (status, "shutting down" in stored) == ("failed", True)
    assert {status for status, _ in found.values()} == {"incomplete"}
