"""A server that is asked to end, over real HTTP: what it still answers, and how what is under way ends."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fathom.core.events import Accepted, Event, TextDelta
from fathom.core.generation import GenerationRequest
from fathom.engine.scripted_engine import ScriptedEngine, text_of, think_then_answer
from fathom.settings import load

from tests.api import responses
from tests.api.responses import URL, create, get, wait_for
from tests.readings import Reading
from tests.running import app_running, until

Json = dict[str, Any]

CHAT, COMPLETIONS, MESSAGES, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/embeddings"


def body(path: str, text: str = "for ever", **fields: Any) -> Json:
    asked: dict[str, Json] = {
        CHAT: {"messages": [{"role": "user", "content": text}]},
        COMPLETIONS: {"prompt": text},
        MESSAGES: {"messages": [{"role": "user", "content": text}], "max_tokens": 1000},
        EMBEDDINGS: {"input": text},
        URL: {"input": text},
    }
    return {"model": "scripted", **asked[path], **fields}


def add_switch(app: FastAPI) -> None:
    """POST /drain begins it, and GET /drain tells whether it is over, whatever becomes of the server then."""
    tasks: list[asyncio.Task[None]] = []

    async def begin() -> None:
        tasks.append(asyncio.create_task(app.state.drain("the test")))
        await asyncio.sleep(0)

    async def is_over() -> bool:
        return tasks[0].done()

    app.add_api_route("/drain", begin, methods=["POST"])
    app.add_api_route("/drain", is_over)


@contextmanager
def serving(grace: float, **settings: Any) -> Iterator[httpx.Client]:
    engine = ScriptedEngine(delay=0.05)
    engine.embeds = True

    def script(request: GenerationRequest) -> Iterable[Event]:
        """As the text says: an answer for ever, none for ever, or the text itself."""
        text = text_of(request.prompt)
        if text == "silence":
            return _silence(engine)
        return responses.never_ends(request) if text == "for ever" else think_then_answer(request)

    engine.script = script
    with app_running(engine, load({"http.shutdown_grace": grace, **settings}), add_switch) as client:
        until(lambda: client.get("/readyz").status_code == 200, "the app is ready")
        yield client


def _silence(engine: ScriptedEngine) -> Iterable[Event]:
    yield Accepted(1)
    engine.delay = 60
    yield TextDelta("never")


def drain(client: httpx.Client) -> None:
    client.post("/drain").raise_for_status()


def is_over(client: httpx.Client) -> bool:
    over: bool = client.get("/drain").json()
    return over


def stream(client: httpx.Client, path: str, text: str = "for ever", **fields: Any) -> Reading:
    """One that has begun."""
    return Reading(client, "POST", path, json=body(path, text, stream=True, **fields)).until("word")


def test_probes_metrics_and_reading_go_on_while_it_drains():
    with serving(grace=0.5) as client:
        kept = create(client)
        reading = stream(client, CHAT)
        drain(client)
        state = client.get("/readyz")
        assert (state.status_code, state.json()["phase"]) == (503, "draining")
        for path in ("/livez", "/startupz", "/metrics", "/v1/models", f"{URL}/{kept['id']}/input_items"):
            assert client.get(path).status_code == 200
        assert get(client, kept["id"]) == kept
        assert client.delete(f"{URL}/{kept['id']}").status_code == 200
        reading.to_the_end()


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (CHAT, {}),
        (CHAT, {"stream": True}),
        (COMPLETIONS, {}),
        (URL, {}),
        (URL, {"stream": True}),
        (URL, {"store": False}),
        (URL, {"background": True}),
        (URL, {"background": True, "stream": True}),
        (MESSAGES, {}),
        (EMBEDDINGS, {}),
    ],
)
def test_nothing_new_is_taken_and_clients_are_told_to_try_again(refusing: httpx.Client, path: str, fields: Json):
    refused = refusing.post(path, json=body(path, "hello", **fields))
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert "shutting down" in refused.json()["error"]["message"]
    if path != MESSAGES:
        assert refused.json()["error"]["code"] == "shutting_down"


@pytest.fixture(scope="module")
def refusing() -> Iterator[httpx.Client]:
    """One that drains."""
    with serving(grace=60) as client, client.stream("POST", CHAT, json=body(CHAT, stream=True)):
        drain(client)
        yield client


def test_streams_finish_within_the_grace_time():
    ends = {
        CHAT: "data: [DONE]\n\n",
        COMPLETIONS: "data: [DONE]\n\n",
        MESSAGES: 'data: {"type":"message_stop"}\n\n',
        URL: '"type":"response.completed"',
    }
    text = " ".join(["word"] * 20)
    with serving(grace=20) as client:
        kinds: list[tuple[str, Json]] = [*((path, {}) for path in ends), (URL, {"background": True})]
        readings = [stream(client, path, text, **fields) for path, fields in kinds]
        drain(client)
        for (path, _), reading in zip(kinds, readings, strict=True):
            assert ends[path] in reading.to_the_end()
            assert "shutting down" not in reading.text
        until(lambda: is_over(client), "it is over before its time", 5)


def test_streams_that_outlast_it_end_with_the_error_event_of_their_dialect():
    kinds: list[tuple[str, Json]] = [
        (CHAT, {}),
        (CHAT, {"n": 2}),
        (COMPLETIONS, {"prompt": ["for ever", "for ever"]}),
        (MESSAGES, {}),
        (URL, {}),
        (URL, {"store": False}),
        (URL, {"background": True}),
    ]
    with serving(grace=0.2) as client:
        readings = [stream(client, path, **fields) for path, fields in kinds]
        drain(client)
        for (path, fields), reading in zip(kinds, readings, strict=True):
            reading.to_the_end()
            assert not reading.ended_well
            assert "shutting down" in json.dumps(reading.last)
            assert ("response.failed" if path == URL else "error") in reading.text.split("\n\n")[-2]
            if fields.get("store", path == URL):
                kept = get(client, reading.last["response"]["id"])
                assert (kept["status"], kept["error"]) == ("failed", reading.last["response"]["error"])
        until(lambda: is_over(client), "it is over")


def test_clients_that_wait_for_a_whole_answer_get_503():
    with serving(grace=0.2) as client:
        readings = [Reading(client, "POST", path, json=body(path)) for path in (CHAT, MESSAGES, URL)]
        readings.append(stream(client, CHAT))  # when it has begun, so have they
        drain(client)
        *whole, _ = [reading.to_the_end() for reading in readings]
        assert [reading.status for reading in readings] == [503, 503, 503, 200]
        assert all("shutting down" in text for text in whole)
        assert all(int(reading.headers["retry-after"]) >= 1 for reading in readings[:-1])


def test_what_showed_nothing_goes_back_to_the_queue_and_its_followers_are_told():
    with serving(grace=0.3, **{"store.background_slots": 1}) as client:
        begun = create(client, input="silence", background=True)
        wait_for(client, begun["id"], "in_progress")
        waiting = create(client, background=True)
        readings = {
            each["id"]: Reading(client, "GET", f"{URL}/{each['id']}?stream=true").until("response.queued")
            for each in (begun, waiting)
        }
        drain(client)
        for response_id, reading in readings.items():
            reading.to_the_end()
            assert (reading.last["type"], reading.last["code"]) == ("error", "shutting_down")
            assert f"{URL}/{response_id}?stream=true&starting_after=" in reading.last["message"]
            assert get(client, response_id)["status"] == "queued"


def test_a_follower_sees_the_end_of_what_is_made_here():
    with serving(grace=20) as client:
        begun = create(client, input=" ".join(["word"] * 10), background=True)
        reading = Reading(client, "GET", f"{URL}/{begun['id']}?stream=true").until("output_text.delta")
        drain(client)
        assert "response.completed" in reading.to_the_end()
