"""Limits of keys and what they have used, over real HTTP."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.settings import load

from tests.running import app_running, until

Json = dict[str, Any]

CHAT, COMPLETIONS, RESPONSES, MESSAGES, EMBEDDINGS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/embeddings",
)
THREE = "one two three"
BODIES: dict[str, Json] = {
    CHAT: {"messages": [{"role": "user", "content": THREE}]},
    COMPLETIONS: {"prompt": THREE},
    RESPONSES: {"input": THREE},
    MESSAGES: {"messages": [{"role": "user", "content": THREE}], "max_tokens": 100},
    EMBEDDINGS: {"input": THREE},
}


class Tenants:
    """A server with an admin's key, and keys made with it."""

    def __init__(self, client: httpx.Client, engine: ScriptedEngine) -> None:
        self.client, self.engine = client, engine
        self._admin = client.post("/admin/keys", json={"name": "admin", "tenant": "staff", "scopes": ["admin"]}).json()[
            "secret"
        ]

    def admin(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.client.request(method, path, headers={"x-api-key": self._admin}, **more)

    def key(self, tenant: str, **limits: Any) -> Callable[..., httpx.Response]:
        """What sends requests with a new key."""
        body = {"name": "n", "tenant": tenant, "scopes": ["inference"], "limits": limits}
        made = self.admin("POST", "/admin/keys", json=body)
        assert made.status_code == 200, made.text
        headers = {"x-api-key": made.json()["secret"]}

        def send(path: str, method: str = "POST", **fields: Any) -> httpx.Response:
            json = {"model": "scripted", **BODIES[path], **fields} if method == "POST" else None
            return self.client.request(method, path, json=json, headers=headers)

        return send


@contextmanager
def serving(**settings: Any) -> Iterator[Tenants]:
    engine = ScriptedEngine()
    engine.embeds = True
    with app_running(engine, load(settings)) as client:
        until(lambda: client.get("/readyz").status_code == 200, "the app is ready")
        yield Tenants(client, engine)


@pytest.fixture(scope="module")
def tenants() -> Iterator[Tenants]:
    with serving(**{"limits.tenants.small.concurrent": 1}) as tenants:
        yield tenants


def error(response: httpx.Response) -> Json:
    found: Json = response.json()["error"]
    return found


@pytest.mark.parametrize("path", BODIES)
def test_requests_per_minute_are_limited_in_every_dialect_and_refusals_say_when_to_come_back(tenants, path):
    send = tenants.key("a", requests_per_minute=2)
    for left in ("1", "0"):
        answer = send(path)
        assert answer.status_code == 200
        assert answer.headers["x-ratelimit-limit-requests"] == "2"
        assert answer.headers["x-ratelimit-remaining-requests"] == left
    refused = send(path)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert refused.headers["x-ratelimit-reset-requests"].endswith("s")
    assert "2 requests per minute" in error(refused)["message"]
    if path == MESSAGES:
        assert error(refused)["type"] == "rate_limit_error"
    else:
        assert (error(refused)["type"], error(refused)["code"]) == ("requests", "rate_limit_exceeded")


def test_tokens_are_reserved_for_as_long_as_a_request_runs(tenants):
    send = tenants.key("a", tokens_per_minute=1000)
    answer = send(CHAT, max_tokens=900)  # of which it uses 14, with its prompt
    assert answer.status_code == 200
    assert int(answer.headers["x-ratelimit-remaining-tokens"]) >= 1000 - 7 - 900
    assert int(send(CHAT, max_tokens=900).headers["x-ratelimit-limit-tokens"]) == 1000
    assert send(CHAT, max_tokens=900).status_code == 200


def test_tokens_that_do_not_fit_are_refused(tenants):
    send = tenants.key("a", tokens_per_minute=20)
    assert send(CHAT, max_tokens=12).status_code == 200
    refused = send(CHAT, max_tokens=12)
    assert (refused.status_code, error(refused)["type"]) == (429, "tokens")


def test_a_tenant_s_limit_is_one_for_all_of_its_keys(tenants):
    first, second = tenants.key("small"), tenants.key("small")
    tenants.engine.delay = 0.3
    try:
        body = {"model": "scripted", **BODIES[CHAT], "stream": True}
        headers = {"x-api-key": secret_of(first)}
        with tenants.client.stream("POST", CHAT, json=body, headers=headers) as stream:
            assert stream.status_code == 200
            refused = second(CHAT)
            assert (refused.status_code, "tenant 'small'" in error(refused)["message"]) == (429, True)
    finally:
        tenants.engine.delay = 0
    until(lambda: second(CHAT).status_code == 200, "there is room again")


def test_a_budget_that_is_used_up_is_insufficient_quota_and_not_tried_again(tenants):
    send = tenants.key("a", budget=20, period="day")
    assert send(CHAT, max_tokens=10).status_code == 200
    refused = send(CHAT, max_tokens=10)
    assert (refused.status_code, error(refused)["code"]) == (429, "insufficient_quota")
    assert refused.headers["x-should-retry"] == "false"
    assert "20 tokens a day" in error(refused)["message"]


def test_a_key_s_largest_request_is_what_who_names_no_number_gets(tenants):
    send = tenants.key("a", max_tokens=50)
    assert send(CHAT).status_code == 200
    assert tenants.engine.requests[-1].sampling.max_tokens == 50
    refused = send(CHAT, max_tokens=51)
    assert (refused.status_code, error(refused)["param"]) == (400, "max_tokens")


def test_a_server_without_limits_tells_of_none(tenants):
    assert not [name for name in tenants.key("a")(CHAT).headers if name.startswith("x-ratelimit")]


def test_what_is_used_is_told_to_the_tenant_and_to_the_admin():
    today = datetime.now(UTC).date()
    with serving() as tenants:
        ours, theirs = tenants.key("ours"), tenants.key("theirs")
        for path in BODIES:
            assert ours(path).status_code == 200
        assert theirs(CHAT).status_code == 200
        own = tenants.client.get("/v1/usage", headers={"x-api-key": secret_of(ours)}).json()
        (row,) = own["data"]
        assert (row["tenant"], row["model"], row["requests"]) == ("ours", "scripted", 5)
        assert row["day"] in (str(today), str(today + timedelta(days=1)))
        assert own["total"]["total_tokens"] == row["prompt_tokens"] + row["completion_tokens"] > 0
        whole = tenants.admin("GET", "/admin/usage").json()
        assert {each["tenant"] for each in whole["data"]} == {"ours", "theirs"}
        assert tenants.admin("GET", f"/admin/usage?key={row['key']}").json()["data"] == [row]
        assert tenants.admin("GET", "/admin/usage?tenant=theirs").json()["data"][0]["requests"] == 1


def secret_of(send: Callable[..., httpx.Response]) -> str:
    headers = next(cell.cell_contents for cell in send.__closure__ or () if isinstance(cell.cell_contents, dict))
    return str(headers["x-api-key"])


def test_a_request_that_its_client_leaves_counts_what_came():
    with serving() as tenants:
        send = tenants.key("a")
        tenants.engine.delay = 0.05
        body = {"model": "scripted", **BODIES[CHAT], "stream": True}
        with tenants.client.stream("POST", CHAT, json=body, headers={"x-api-key": secret_of(send)}) as stream:
            for line in stream.iter_lines():
                if '"content":"one"' in line:
                    break

        def rows() -> list[Json]:
            found: list[Json] = tenants.admin("GET", "/admin/usage?tenant=a").json()["data"]
            return found

        until(rows, "it is counted")
        (row,) = rows()
        assert (row["requests"], row["prompt_tokens"], row["reasoning_tokens"]) == (1, 7, 2)
        assert 3 <= row["completion_tokens"] <= 5


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("start=2026-02-01&end=2026-01-01", "start"),
        ("start=2020-01-01&end=2026-01-01", "start"),
        ("start=soon", "start"),
    ],
)
def test_days_that_are_none_are_refused(tenants, query, param):
    refused = tenants.admin("GET", f"/admin/usage?{query}")
    assert (refused.status_code, error(refused)["param"]) == (400, param)


def test_days_can_be_named(tenants):
    listed = tenants.admin("GET", "/admin/usage?start=2026-01-01&end=2026-01-31").json()
    assert (listed["start"], listed["end"], listed["data"]) == ("2026-01-01", "2026-01-31", [])


def test_background_responses_count_when_they_come_and_only_so_many_may_be_queued():
    with serving(**{"store.background_queue": 2, "store.background_slots": 1}) as tenants:
        tenants.engine.delay = 30.0
        counted = tenants.key("a", requests_per_minute=1)
        assert counted(RESPONSES, background=True).status_code == 200
        assert "1 requests per minute" in error(counted(RESPONSES, background=True))["message"]
        send, other = tenants.key("b"), tenants.key("c")
        assert [send(RESPONSES, background=True).status_code for _ in range(3)] == [200, 200, 429]
        refused = send(RESPONSES, background=True)
        assert "store.background_queue" in error(refused)["message"]
        assert int(refused.headers["retry-after"]) > 0
        assert other(RESPONSES, background=True).status_code == 200


def test_more_prompts_in_one_completion_than_may_run_at_a_time_are_refused_for_good(tenants):
    refused = tenants.key("a", concurrent=2)(COMPLETIONS, prompt=["one", "two", "three"])
    assert (refused.status_code, error(refused)["param"]) == (400, "prompt")
    assert "2 at a time" in error(refused)["message"]
    assert tenants.key("a", concurrent=2)(COMPLETIONS, prompt=["one", "two"]).status_code == 200
