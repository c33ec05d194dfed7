"""What holds for every stream, whatever it carries."""

import json
import socket
import time
from typing import Any

from fathom.core.events import Accepted, Finished, TextDelta
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.settings import load
from fathom.telemetry import metrics

from tests.api.conftest import chat_body
from tests.running import app_running, until

COMMENT = ": keep-alive"


def slow_answer(_request):
    yield Accepted(1)
    yield TextDelta("late")
    yield Finished("stop", 1, 1)


def frames_of(engine: ScriptedEngine, keep_alive: float) -> list[str]:
    with app_running(engine, load({"http.keep_alive": keep_alive})) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        response = client.post("/v1/chat/completions", json=chat_body(stream=True))
        return [frame for frame in response.text.split("\n\n") if frame]


def test_a_silent_stream_is_kept_alive_by_comments():
    frames = frames_of(ScriptedEngine(slow_answer, delay=0.5), keep_alive=0.1)
    assert frames.count(COMMENT) >= 4
    assert frames[0].startswith("data: ")
    assert frames[-1] == "data: [DONE]"


def test_a_busy_stream_has_no_comments():
    assert COMMENT not in frames_of(ScriptedEngine(slow_answer, delay=0.02), keep_alive=0.5)


def test_comments_end_with_the_client():
    engine = ScriptedEngine()

    def hang(_request):
        yield Accepted(1)
        engine.delay = 30
        yield TextDelta("never")

    engine.script = hang
    with app_running(engine, load({"http.keep_alive": 0.05})) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        with client.stream("POST", "/v1/chat/completions", json=chat_body(stream=True)) as response:
            lines = response.iter_lines()
            while next(lines) != COMMENT:
                pass
        began = time.monotonic()
        until(lambda: engine.aborted, "the engine's work is dropped", 5)
        assert time.monotonic() - began < 2


def test_every_response_says_how_long_it_took_and_which_request_it_was():
    with app_running(ScriptedEngine()) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        for stream in (False, True):
            headers = client.post("/v1/chat/completions", json=chat_body(stream=stream)).headers
            assert headers["x-request-id"].startswith("req_")
            assert int(headers["openai-processing-ms"]) >= 0


def test_a_client_that_does_not_read_is_left_and_others_are_not_held_up():
    """It gets as much as the connection holds; then its request is dropped in the engine."""

    long: list[str] = []

    def flood(request):
        yield Accepted(1)
        for _ in range(2000 if request.id in long else 3):
            yield TextDelta("x" * 20_000)
        yield Finished("stop", 1, 1)

    engine = ScriptedEngine(flood)
    before = metrics.STREAMS_UNREAD._value.get()
    with app_running(engine, load({"http.write_timeout": 0.5})) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        engine.script = lambda request: long.append(request.id) or flood(request)
        with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as silent:
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            content = json.dumps(chat_body(stream=True)).encode()
            silent.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(content), content)
            )
            until(lambda: long, "it runs")
            engine.script = flood
            assert client.post("/v1/chat/completions", json=chat_body(stream=True)).text.endswith("data: [DONE]\n\n")
            until(lambda: set(long) <= engine.aborted, "the engine's work is dropped", 5)
    assert metrics.STREAMS_UNREAD._value.get() == before + 1


def test_a_slow_reader_gets_all_of_it():
    def script(_request):
        yield Accepted(1)
        for _ in range(100):
            yield TextDelta("x" * 20_000)
        yield Finished("stop", 1, 1)

    with app_running(ScriptedEngine(script), load({"http.write_timeout": 0.5})) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        text = ""
        with client.stream("POST", "/v1/chat/completions", json=chat_body(stream=True)) as response:
            for piece in response.iter_text():
                text += piece
                time.sleep(0.02)
        assert text.endswith("data: [DONE]\n\n")


def test_tokens_take_the_short_way_in_every_dialect_and_are_whole():
    """As long as the client reads. The first delta never does; what the two ways say is the same."""
    engine = ScriptedEngine(many_words)
    with app_running(engine, load({})) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        for path, body in STREAMED.items():
            engine.short = 0
            said = client.post(path, json={"model": engine.model, "stream": True, "max_tokens": 50, **body}).text
            assert engine.short == len(WORDS) - 1, path
            assert [word for word in WORDS if word in said] == WORDS
            assert sorted(map(said.index, WORDS)) == list(map(said.index, WORDS)), path


WORDS = [f" word-{at:02}" for at in range(20)]
STREAMED: dict[str, Any] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "x"}]},
    "/v1/completions": {"prompt": "x"},
    "/v1/messages": {"messages": [{"role": "user", "content": "x"}]},
}


def many_words(_request):
    yield Accepted(1)
    yield from map(TextDelta, WORDS)
    yield Finished("stop", 1, len(WORDS))
