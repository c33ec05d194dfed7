"""What clients of a server whose store fails ask, and what they may be told."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.settings import load
from fathom.store.database import Database

from tests.responses_stream import ENDS
from tests.running import app_running, until

Json = dict[str, Any]

UNENDED = ("queued", "in_progress")


@contextmanager
def serving(url: str, *, delay: float = 0.0, **settings: Any) -> Iterator[httpx.Client]:
    """The app on a scripted engine, ready. `delay`: seconds before each word."""
    with app_running(ScriptedEngine(delay=delay), load({"store.url": url, **settings})) as client:
        until(lambda: client.get("/readyz").status_code == 200, "the app is ready")
        yield client


@dataclass
class Answer:
    """status: what HTTP said. id: of the response, if the client was told. end: its status, if the client was told
    that it ended. error: what was said instead. events: of a stream."""

    status: int
    id: str | None = None
    end: str | None = None
    error: Json | None = None
    events: list[Json] = field(default_factory=list)


def create(
    client: httpx.Client, text: str = "one two three", once_begun: Callable[[], None] | None = None, **fields: Any
) -> Answer:
    """`once_begun`: called at the first piece of text in a stream."""
    body = {"model": "scripted", "input": text, **fields}
    if fields.get("stream"):
        with client.stream("POST", "/v1/responses", json=body) as response:
            return read(response, once_begun)
    return whole(client.post("/v1/responses", json=body))


def whole(response: httpx.Response) -> Answer:
    """Of a call that gives a response."""
    body = response.json()
    if response.status_code != 200:
        return Answer(response.status_code, error=body["error"])
    ended = body["status"] not in UNENDED
    return Answer(200, body["id"], body["status"] if ended else None)


def read(response: httpx.Response, once_begun: Callable[[], None] | None = None) -> Answer:
    """A stream, to its end."""
    if response.status_code != 200:
        return Answer(response.status_code, error=json.loads(response.read())["error"])
    answer = Answer(200)
    for line in response.iter_lines():
        if line.startswith("data: "):
            assert not answer.end, "something comes behind the end"
            assert not answer.error, "something comes behind an error"
            take(answer, json.loads(line.removeprefix("data: ")))
            if once_begun and answer.events[-1]["type"].endswith(".delta"):
                once_begun()
                once_begun = None
    assert answer.end or answer.error, "the stream has neither an end nor an error"
    return answer


def take(answer: Answer, event: Json) -> None:
    answer.events.append(event)
    if event["type"] == "error":
        answer.error = {"type": "server_error", **event}
    elif "response" in event:
        answer.id = event["response"]["id"]
        answer.end = event["response"]["status"] if event["type"] in ENDS else None


def check_answer(answer: Answer, code: str = "store_unavailable") -> None:
    """Done, or a clear error: nothing between."""
    assert answer.status in (200, 507 if code == "store_full" else 503), answer
    assert (answer.status == 200) or answer.error
    if answer.error:
        assert answer.error["code"] == code
        assert "database" in answer.error["message"]
        assert "injected" not in answer.error["message"]
        assert "INSERT" not in answer.error["message"]


def check_kept(client: httpx.Client, answer: Answer) -> None:
    """What the client was told is there, and ends as it was told, or, if it was not told, somehow."""
    if answer.id is None:
        return
    until(lambda: has_ended(client, str(answer.id)), "it ends")
    status = fetched(client, answer.id)["status"]
    assert status == answer.end if answer.end else status in ("completed", "failed", "cancelled")
    with client.stream("GET", f"/v1/responses/{answer.id}", params={"stream": "true"}) as response:
        replayed = read(response)
    assert replayed.end == status
    numbers = [event["sequence_number"] for event in replayed.events]
    assert numbers == sorted(set(numbers))
    told = {event["sequence_number"]: event for event in answer.events if event["type"] != "error"}
    assert all(told.get(event["sequence_number"], event) == event for event in replayed.events)


def has_ended(client: httpx.Client, id: str) -> bool:
    """Whether it is told as ended. One whose end waits for the store is not told at all."""
    response = client.get(f"/v1/responses/{id}")
    assert response.status_code in (200, 503, 507), response.text
    return response.status_code == 200 and response.json()["status"] not in UNENDED


def fetched(client: httpx.Client, id: str | None) -> Json:
    response = client.get(f"/v1/responses/{id}")
    assert response.status_code == 200, response.text
    body: Json = response.json()
    return body


def problems(url: str) -> list[str]:
    """What `fathom db check` would say."""

    async def check() -> list[str]:
        database = Database(url)
        try:
            return await database.check()
        finally:
            await database.stop()

    return asyncio.run(check())
