"""What holds for every stream, whatever it carries."""

import time

from fathom.core.events import Accepted, Finished, TextDelta
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.settings import load

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
