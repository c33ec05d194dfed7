"""Requests that take too long, in every dialect, over real HTTP."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import httpx
import pytest
from fathom.core.events import Accepted, Event, Finished, TextDelta
from fathom.core.generation import GenerationRequest
from fathom.engine.scripted_engine import ScriptedEngine, text_of
from fathom.settings import load

from tests.api.test_drain import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, URL, body
from tests.readings import Reading
from tests.running import app_running, until

Json = dict[str, Any]

HEADER = "x-request-timeout"
DIALECTS = (CHAT, COMPLETIONS, MESSAGES, URL)


class Slow(ScriptedEngine):
    """Stands still before the first token, or behind it, as the text says."""

    def __init__(self) -> None:
        super().__init__(self.slow)
        self.embeds = True

    def slow(self, request: GenerationRequest) -> Iterable[Event]:
        text, self.delay = text_of(request.prompt), 0
        yield Accepted(1)
        if "first" not in text:
            yield TextDelta("word")
        self.delay = 60
        yield Finished("stop", 1, 1)

    async def embed(self, *_: Any) -> Any:
        await self.never()

    async def never(self) -> None:
        import asyncio

        await asyncio.sleep(60)


@pytest.fixture(scope="module")
def engine() -> Slow:
    return Slow()


@pytest.fixture(scope="module")
def client(engine: Slow) -> Iterator[httpx.Client]:
    settings = load({"limits.queue_timeout": 1.5, "limits.total_timeout": 3})
    with app_running(engine, settings) as client:
        until(lambda: client.get("/readyz").status_code == 200, "the app is ready")
        yield client


@pytest.mark.parametrize("path", [*DIALECTS, EMBEDDINGS])
def test_the_time_that_a_client_gives_ends_its_request_and_sdks_do_not_send_it_again(client, engine, path):
    response = client.post(path, json=body(path, "hello"), headers={HEADER: "0.3"})
    assert response.status_code == 408
    assert response.headers["x-should-retry"] == "false"
    error = response.json()["error"]
    assert "0.3 s" in error["message"]
    assert error["type"] == "invalid_request_error"
    if path != MESSAGES:
        assert (error["code"], error["param"]) == ("request_timeout", HEADER)
    until(lambda: not engine.running, "the engine's work is dropped", 1)


@pytest.mark.parametrize("path", DIALECTS)
def test_a_stream_ends_with_the_error_event_of_its_dialect(client, engine, path):
    reading = Reading(client, "POST", path, json=body(path, "hello", stream=True), headers={HEADER: "0.5"})
    reading.to_the_end(3)
    assert reading.status == 200
    assert not reading.ended_well
    assert "word" in reading.text
    assert "0.5 s" in json.dumps(reading.last)
    until(lambda: not engine.running, "the engine's work is dropped", 1)


@pytest.mark.parametrize("path", DIALECTS)
def test_a_first_token_that_does_not_come_is_504(client, engine, path):
    response = client.post(path, json=body(path, "not the first"))
    assert response.status_code == 504
    assert "limits.queue_timeout" in response.json()["error"]["message"]
    until(lambda: not engine.running, "the engine's work is dropped", 1)


@pytest.mark.parametrize("path", [CHAT, EMBEDDINGS])
def test_an_end_that_does_not_come_is_504(client, path):
    response = client.post(path, json=body(path, "hello"))
    assert response.status_code == 504
    assert "limits.total_timeout" in response.json()["error"]["message"]
    assert response.json()["error"]["code"] == "deadline_exceeded"


@pytest.mark.parametrize("given", ["0", "-1", "soon", "nan", "inf", "1e999", ""])
def test_a_time_that_is_none_is_refused(client, given):
    response = client.post(CHAT, json=body(CHAT), headers={HEADER: given})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == HEADER


def test_background_responses_take_the_time_they_need(client):
    refused = client.post(URL, json=body(URL, background=True), headers={HEADER: "3"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, HEADER)
