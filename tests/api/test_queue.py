"""Requests that have to wait for the engine, in every dialect, over real HTTP: what clients are told, and what happens
when they leave, run out of time or come in too large a number."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fathom.core.batch import AHEAD
from fathom.core.engine import Prepared, Trouble
from fathom.core.errors import BadRequest
from fathom.core.events import Accepted, Event, Finished, TextDelta
from fathom.core.generation import GenerationRequest
from fathom.engine.scripted_engine import ScriptedEngine, text_of, think_then_answer
from fathom.settings import load
from prometheus_client import REGISTRY

from tests.api.responses import get
from tests.api.test_deadlines import HEADER
from tests.api.test_drain import CHAT, COMPLETIONS, MESSAGES, URL, add_switch, body, drain, is_over
from tests.by_header import with_tenants
from tests.readings import Reading
from tests.running import app_running, until

Json = dict[str, Any]

DIALECTS = [(CHAT, {}), (COMPLETIONS, {}), (MESSAGES, {}), (URL, {}), (URL, {"store": False})]
PLACES = 1 + AHEAD
HOLD = "hold the place"


class Small(ScriptedEngine):
    """With one place. `HOLD` goes on until it is let go. order: what was begun, by its text."""

    def __init__(self) -> None:
        super().__init__(self.play, delay=0.01)
        self.max_num_seqs = 1
        self.free = False
        self.order: list[str] = []

    async def prepare(self, request: GenerationRequest) -> Prepared:
        if text_of(request.prompt) == "bad":
            raise BadRequest("This is a bad prompt.", param="prompt")
        return await super().prepare(request)

    def play(self, request: GenerationRequest) -> Iterable[Event]:
        self.order.append(text_of(request.prompt))
        return self.hold() if text_of(request.prompt) == HOLD else think_then_answer(request)

    def hold(self) -> Iterable[Event]:
        yield Accepted(1)
        while not self.free:
            yield TextDelta("word ")
        yield Finished("stop", 1, 1)


class Busy:
    """A server whose places are all held until `free()`."""

    def __init__(self, client: httpx.Client, engine: Small) -> None:
        self.client, self.engine = client, engine

    def free(self) -> None:
        self.engine.free = True

    def stream(self, path: str, text: str = "hello", *, headers: Json | None = None, **fields: Any) -> Reading:
        asked = body(path, text, stream=True, **fields)
        return Reading(self.client, "POST", path, json=asked, headers=headers or {})

    def whole(self, path: str, text: str = "hello", *, headers: Json | None = None, **fields: Any) -> httpx.Response:
        return self.client.post(path, json=body(path, text, **fields), headers=headers or {})


@contextmanager
def busy(**settings: Any) -> Iterator[Busy]:
    engine = Small()

    def change(app: FastAPI) -> None:
        with_tenants(app)
        add_switch(app)

    with app_running(engine, load(settings), change) as client, ExitStack() as stack:
        until(lambda: client.get("/readyz").status_code == 200, "the app is ready")
        server = Busy(client, engine)
        stack.callback(server.free)
        for _ in range(PLACES):
            server.stream(CHAT, HOLD, headers={"x-api-key": "holder"}).until("word")
        yield server


def waiting() -> float:
    tiers = (REGISTRY.get_sample_value("fathom_queue_requests", {"tier": tier}) for tier in ("default", "flex"))
    return sum(count or 0 for count in tiers)


@pytest.mark.parametrize(("path", "fields"), DIALECTS)
def test_a_stream_that_waits_says_how_it_stands_from_the_first_byte_and_goes_on_in_its_turn(path, fields):
    with busy(**{"http.keep_alive": 0.1}) as server:
        first, second = (server.stream(path, **fields).until(": queued position=") for _ in range(2))
        assert (first.status, second.status) == (200, 200)
        assert first.headers["x-fathom-queue-position"] == "1"
        assert second.headers["x-fathom-queue-position"] == "2"
        second.until(": queued position=2\n\n: queued position=2")
        server.free()
        for reading in (first, second):
            reading.to_the_end()
            assert reading.ended_well
        assert second.text.count(": queued position=1") <= 1  # its turn came soon after that of the first


@pytest.mark.parametrize(("path", "fields"), DIALECTS)
def test_a_whole_answer_that_had_to_wait_says_how_long(path, fields):
    with busy() as server:
        reading = Reading(server.client, "POST", path, json=body(path, "hello", **fields))
        until(lambda: waiting() == 1, "it waits")
        server.free()
        reading.to_the_end()
        assert reading.status == 200
        assert int(reading.headers["x-fathom-queue-ms"]) > 0
        assert "hello" in reading.text


def test_what_need_not_wait_says_nothing_of_a_queue(client):
    answer = client.post(CHAT, json=body(CHAT, "hello"))
    assert [name for name in answer.headers if name.startswith("x-fathom")] == []


def test_a_stored_response_is_stored_once_its_turn_has_come():
    with busy() as server:
        reading = server.stream(URL).until(": queued")
        assert "response.created" not in reading.text
        server.free()
        reading.to_the_end()
        assert get(server.client, reading.last["response"]["id"])["status"] == "completed"


@pytest.mark.parametrize(("path", "fields"), DIALECTS)
def test_a_client_that_leaves_the_queue_is_gone_from_it_at_once(path, fields):
    with busy() as server:
        with httpx.Client(base_url=server.client.base_url) as other, ExitStack() as stack:
            asked = body(path, "gone", stream=True, **fields)
            stack.enter_context(other.stream("POST", path, json=asked))
            until(lambda: waiting() == 1, "it waits")
        until(lambda: waiting() == 0, "it waits no more")
        server.free()
        server.whole(CHAT)
        assert "gone" not in server.engine.order


@pytest.mark.parametrize(("path", "fields"), DIALECTS)
def test_a_deadline_that_passes_in_the_queue_ends_the_wait(path, fields):
    with busy() as server:
        answer = server.whole(path, headers={HEADER: "0.3"}, **fields)
        assert (answer.status_code, answer.headers["x-should-retry"]) == (408, "false")
        assert waiting() == 0
        reading = server.stream(path, headers={HEADER: "0.3"}, **fields)
        reading.to_the_end()
        assert not reading.ended_well
        assert "0.3 s" in json.dumps(reading.last)
        assert waiting() == 0


def test_time_in_the_queue_is_time_without_a_token():
    with busy(**{"limits.queue_timeout": 0.4}) as server:
        answer = server.whole(CHAT)
        assert answer.status_code == 504
        assert "limits.queue_timeout" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("path", "fields"), DIALECTS)
def test_a_tenant_whose_share_of_the_queue_is_full_gets_429(path, fields):
    with busy(**{"limits.queue_requests": 2}) as server:
        queued = [server.stream(path, headers={"x-api-key": "greedy"}, **fields).until(": queued") for _ in range(2)]
        for stream in (True, False):
            refused = server.whole(path, headers={"x-api-key": "greedy"}, stream=stream, **fields)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
            assert int(refused.headers["retry-after-ms"]) >= 1
            error = refused.json()["error"]
            assert "your share of the queue (limits.queue_requests = 2)" in error["message"]
            expected = {"type": "rate_limit_error"} if path == MESSAGES else {"code": "rate_limit_exceeded"}
            assert error.items() >= expected.items()
        queued.append(server.stream(path, headers={"x-api-key": "modest"}, **fields).until(": queued"))
        server.free()
        for reading in queued:
            reading.to_the_end()
            assert reading.ended_well


@pytest.mark.parametrize(("path", "fields"), DIALECTS)
def test_a_queue_that_is_full_for_all_is_503(path, fields):
    with busy(**{"limits.queue_requests": 1}) as server:
        server.stream(path, **fields).until(": queued")
        refused = server.whole(path, **fields)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        error = refused.json()["error"]
        assert "overloaded" in error["message"]
        expected = {"type": "overloaded_error"} if path == MESSAGES else {"code": "overloaded", "type": "server_error"}
        assert error.items() >= expected.items()


def test_a_request_that_cannot_meet_its_deadline_is_refused_at_once():
    with busy() as server:
        server.engine.free = True
        for _ in range(4):
            readings = [server.stream(CHAT, f"{'long ' * 60}") for _ in range(12)]
            for reading in readings:
                reading.to_the_end()
        server.engine.free = False
        holding = [server.stream(CHAT, HOLD) for _ in range(PLACES)]
        for reading in holding:
            reading.until("word")
        readings = [server.stream(CHAT, f"{'long ' * 200}").until(": queued") for _ in range(10)]
        wait = float(readings[-1].headers["x-fathom-expected-wait-ms"]) / 1000
        assert wait > 0
        refused = server.whole(CHAT, headers={HEADER: f"{wait / 2:.3f}"})
        assert refused.status_code == 503
        assert f"({HEADER})" in refused.json()["error"]["message"]
        assert server.engine.requests[-1].timeout is None  # it did not get so far


def test_whoever_asks_for_little_does_not_wait_for_whoever_asks_for_much():
    with busy() as server:
        many = [server.stream(CHAT, f"much {at}", headers={"x-api-key": "greedy"}).until(": queued") for at in range(8)]
        one = server.stream(CHAT, "little", headers={"x-api-key": "modest"}).until(": queued")
        assert int(one.headers["x-fathom-queue-position"]) <= 2
        server.free()
        for reading in (*many, one):
            reading.to_the_end()
        assert server.engine.order[PLACES:].index("little") <= 1


@pytest.mark.parametrize(("asked", "served"), [("auto", "default"), ("flex", "flex"), ("priority", "priority")])
@pytest.mark.parametrize("path", [CHAT, URL])
def test_the_tier_that_served_a_request_is_told(client, engine, path, asked, served):
    answer = client.post(path, json=body(path, "hello", service_tier=asked)).json()
    assert answer["service_tier"] == served
    assert engine.requests[-1].tier == served


def test_flex_waits_for_the_others():
    with busy() as server:
        tiers = ["flex"] * 3 + ["default"] * 3 + ["priority"]
        readings = [server.stream(CHAT, tier, service_tier=tier).until(": queued") for tier in tiers]
        server.free()
        for reading in readings:
            reading.to_the_end()
        order = server.engine.order[PLACES:]
        assert order[0] == "priority"
        assert order.count("default") == order.count("flex") == 3
        assert order[-1] == "flex"


def test_of_several_prompts_one_that_is_bad_is_still_refused_by_status():
    with busy() as server:
        refused = server.whole(COMPLETIONS, ["good", "bad"], stream=True)  # type: ignore[arg-type]
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "prompt.1")
        reading = server.stream(COMPLETIONS, ["one", "two"]).until(": queued")  # type: ignore[arg-type]
        server.free()
        reading.to_the_end()
        assert reading.ended_well


def test_what_waits_outlives_a_crash_of_the_engine():
    with busy() as server:
        reading = server.stream(CHAT).until(": queued")
        server.engine.restart_delay, server.engine.death = 1.0, Trouble("died", "a test")
        until(lambda: server.client.get("/readyz").status_code == 503, "the engine is started again")
        assert server.whole(CHAT).status_code == 503
        until(lambda: server.client.get("/readyz").status_code == 200, "it is back")
        server.free()
        reading.to_the_end()
        assert reading.ended_well


def test_what_waits_when_the_server_is_asked_to_end_is_still_served():
    with busy() as server:
        readings = [server.stream(path, **fields).until(": queued") for path, fields in DIALECTS]
        drain(server.client)
        assert server.whole(CHAT).json()["error"]["code"] == "shutting_down"
        server.free()
        for reading in readings:
            reading.to_the_end()
            assert reading.ended_well
        until(lambda: is_over(server.client), "nothing is left")


def test_what_still_waits_at_the_end_of_the_grace_time_is_told_so():
    with busy(**{"http.shutdown_grace": 0.5}) as server:
        readings = [server.stream(path, **fields).until(": queued") for path, fields in DIALECTS]
        whole = Reading(server.client, "POST", CHAT, json=body(CHAT, "hello"))
        until(lambda: waiting() == len(DIALECTS) + 1, "all wait")
        drain(server.client)
        for reading in readings:
            reading.to_the_end()
            assert not reading.ended_well
            assert "http.shutdown_grace" in json.dumps(reading.last)
        whole.to_the_end()
        assert (whole.status, json.loads(whole.text)["error"]["code"]) == (503, "shutting_down")
        assert waiting() == 0
