"""The store fails at the Nth thing that a request asks of it, for every N: once, or until it is repaired."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.databases import needs_postgresql, new_postgres_database
from tests.failing_store import failing_store
from tests.faults.clients import Answer, check_answer, check_kept, create, fetched, problems, read, serving, whole
from tests.running import until

pytestmark = pytest.mark.usefixtures("hurry")

LONG = "word " * 300
SWEEPS = 10


@dataclass(frozen=True)
class Scenario:
    """prepare: while the store works; what it returns goes to the others. act: what is asked of a store that fails.
    settle: what must be so once it works again. delay: seconds before each word."""

    act: Callable[[httpx.Client, str], Answer]
    prepare: Callable[[httpx.Client], str] = lambda _client: ""
    settle: Callable[[httpx.Client, str, Answer], None] = lambda client, _id, answer: check_kept(client, answer)
    delay: float = 0.0


def stored(client: httpx.Client) -> str:
    return str(create(client).id)


def running(client: httpx.Client) -> str:
    id = str(create(client, LONG, background=True).id)
    until(lambda: fetched(client, id)["status"] == "in_progress", "it runs")
    return id


def delete(client: httpx.Client, id: str) -> Answer:
    response = client.delete(f"/v1/responses/{id}")
    return Answer(response.status_code, error=response.json().get("error"))


def is_deleted_or_whole(client: httpx.Client, id: str, answer: Answer) -> None:
    if answer.error:
        assert fetched(client, id)["output"]
    else:
        assert client.get(f"/v1/responses/{id}").status_code == 404


def follow(client: httpx.Client, id: str) -> Answer:
    with client.stream("GET", f"/v1/responses/{id}", params={"stream": "true"}) as response:
        return read(response)


SCENARIOS = {
    "create": Scenario(lambda client, _: create(client)),
    "create a stream": Scenario(lambda client, _: create(client, stream=True)),
    "create in the background": Scenario(lambda client, _: create(client, background=True)),
    "create a stream in the background": Scenario(lambda client, _: create(client, background=True, stream=True)),
    "go on": Scenario(lambda client, id: create(client, previous_response_id=id, stream=True), stored),
    "cancel": Scenario(lambda client, id: whole(client.post(f"/v1/responses/{id}/cancel")), running, delay=0.003),
    "delete": Scenario(delete, stored, is_deleted_or_whole),
    "get": Scenario(lambda client, id: whole(client.get(f"/v1/responses/{id}")), stored),
    "follow": Scenario(follow, stored),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_wherever_the_store_fails_the_client_is_told_what_is_so(tmp_path: Path, name: str) -> None:
    fail_everywhere(f"sqlite+aiosqlite:///{tmp_path}/fathom.db", name, lasting=False)


@needs_postgresql
@pytest.mark.parametrize("name", ["create", "go on", "cancel"])
def test_postgresql_is_not_different(name: str) -> None:
    fail_everywhere(new_postgres_database(), name, lasting=False)


@pytest.mark.parametrize("name", ["create", "go on"])
def test_wherever_the_store_begins_to_fail_for_good_the_client_is_told_what_is_so(tmp_path: Path, name: str) -> None:
    fail_everywhere(f"sqlite+aiosqlite:///{tmp_path}/fathom.db", name, lasting=True)


def fail_everywhere(url: str, name: str, *, lasting: bool) -> None:
    """From the first place to the last. The queue asks things of the store as well, and may be the one that meets the
    fault at every place of a short scenario: then it is tried again."""
    scenario = SCENARIOS[name]
    with serving(url, delay=scenario.delay) as client:
        for _ in range(SWEEPS):
            places, refused = sweep(client, url, scenario, lasting=lasting)
            print(f"{name}: {places} places, {refused} refused")
            assert places > 2
            if refused:
                return
    raise AssertionError(f"no client met a fault in {SWEEPS} sweeps")


def sweep(client: httpx.Client, url: str, scenario: Scenario, *, lasting: bool) -> tuple[int, int]:
    """At how many places the store failed, and how many of them refused the client."""
    at, refused = 1, 0
    while True:
        prepared = scenario.prepare(client)
        with failing_store(at, lasting=lasting) as faults:
            answer = scenario.act(client, prepared)
        if faults.seen < at:
            scenario.settle(client, prepared, answer)
            return at - 1, refused
        check_answer(answer)
        refused += bool(answer.error)
        scenario.settle(client, prepared, answer)
        assert problems(url) == []
        assert create(client).end == "completed"
        at += 1


def test_what_is_not_stored_does_not_need_the_store(database_url: str) -> None:
    chat: Any = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 20}
    with serving(database_url) as client, failing_store(1, lasting=True) as faults:
        assert create(client).status == 503
        for _ in range(5):
            assert create(client, store=False).end == "completed"
            assert create(client, store=False, stream=True).end == "completed"
            assert client.post("/v1/chat/completions", json=chat).status_code == 200
            assert client.post("/v1/messages", json=chat).status_code == 200
            assert (
                client.post("/v1/responses/input_tokens", json={"model": "scripted", "input": "hi"}).status_code == 200
            )
        assert client.get("/readyz").status_code == 200
        assert faults.seen > 0


def test_a_store_that_fails_now_and_then_costs_errors_and_nothing_else(database_url: str) -> None:
    with serving(database_url) as client:
        answers = []
        for _ in range(10):
            with failing_store(7):
                answers.append(create(client, stream=True))
            with failing_store(7):
                answers.append(create(client, background=True))
        for answer in answers:
            check_answer(answer)
            check_kept(client, answer)
        assert problems(database_url) == []
