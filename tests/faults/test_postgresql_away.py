"""PostgreSQL is stopped in the middle of work, and started again."""

import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.api.keys import bearer, lock, new_key, revoke
from tests.databases import PostgresServer, needs_postgresql
from tests.faults.clients import Answer, check_answer, check_kept, create, fetched, problems, serving
from tests.running import until

pytestmark = [needs_postgresql, pytest.mark.usefixtures("hurry")]

TEXT = "word " * 200  # takes two seconds
DELAY = 0.01


@pytest.fixture
def postgresql() -> Iterator[PostgresServer]:
    """One that nobody else uses."""
    server = PostgresServer()
    server.start()
    yield server
    server.remove()


class Streams:
    """Clients that read streams, all begun."""

    def __init__(self, client: httpx.Client) -> None:
        self.answers: list[Answer] = []
        self._client, self._begun = client, threading.Semaphore(0)
        kinds: list[dict[str, bool]] = [{}, {}, {"background": True}]
        self._threads = [threading.Thread(target=self._read, kwargs=fields) for fields in kinds]
        for thread in self._threads:
            thread.start()
        for _ in kinds:
            assert self._begun.acquire(timeout=10), "a stream does not begin"

    def _read(self, **fields: bool) -> None:
        self.answers.append(create(self._client, TEXT, self._begun.release, stream=True, **fields))

    def to_the_end(self) -> list[Answer]:
        for thread in self._threads:
            thread.join(30)
        assert len(self.answers) == len(self._threads)
        return self.answers


def test_streams_wait_for_a_database_that_comes_back_in_time(postgresql: PostgresServer, patience: None) -> None:
    url = postgresql.new_database()
    with serving(url, delay=DELAY) as client:
        streams = Streams(client)
        queued = create(client, background=True)
        postgresql.stop()
        began = time.monotonic()
        for fields in ({}, {"stream": True}, {"background": True}, {"previous_response_id": queued.id}):
            refused = create(client, **fields)
            assert refused.status == 503
            check_answer(refused)
        assert client.get(f"/v1/responses/{queued.id}").status_code in (200, 503)
        assert time.monotonic() - began < 5
        for stream in (False, True):
            assert create(client, store=False, stream=stream).end == "completed"
        assert client.get("/readyz").status_code == 200
        time.sleep(1)
        postgresql.start()
        answers = streams.to_the_end()
        assert [answer.end for answer in answers if answer.id] == ["completed"] * 3, answers
        for answer in (*answers, queued):
            check_kept(client, answer)
        assert create(client).end == "completed"
        assert problems(url) == []


def test_streams_whose_end_cannot_be_stored_end_with_an_error_and_are_stored_later(postgresql: PostgresServer) -> None:
    url = postgresql.new_database()
    with serving(url, delay=DELAY) as client:
        streams = Streams(client)
        time.sleep(0.5)
        postgresql.stop()
        answers = streams.to_the_end()
        for answer in answers:
            assert answer.error
            assert not answer.end
            check_answer(answer)
        postgresql.start()
        for answer in answers:
            check_kept(client, answer)
        until(lambda: create(client).end == "completed", "it works again")
        assert {fetched(client, answer.id)["status"] for answer in answers} == {"completed"}
        assert problems(url) == []


def test_known_keys_are_let_in_while_the_database_is_away_and_follow_it_when_it_is_back(
    postgresql: PostgresServer,
) -> None:
    with serving(postgresql.new_database()) as client:
        lock(client)
        known, wrong = bearer(new_key(client)), bearer({"secret": "fk-" + "a" * 43})

        def status(headers: dict[str, str]) -> int:
            body = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}]}
            return client.post("/v1/chat/completions", json=body, headers=headers).status_code

        assert (status(known), status(wrong)) == (200, 401)
        postgresql.stop()
        until(lambda: status(wrong) == 503, "a key that may be new has to wait")
        assert status(known) == 200
        assert status(bearer({"secret": "' OR pg_sleep(8)--"})) == 401
        refused = client.post("/admin/keys", json={})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
        postgresql.start()
        until(lambda: status(wrong) == 401, "it is known again that there is no such key")
        made = new_key(client)
        assert status(bearer(made)) == 200
        revoke(client, made)
        assert (status(bearer(made)), status(known)) == (401, 200)
