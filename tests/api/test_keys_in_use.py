"""Keys while a server runs: revoked, changed from elsewhere, found in nothing that it writes."""

import json
import logging
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.settings import TelemetrySettings, load
from fathom.telemetry import logging as logs

from tests.api.closed import WRONG, send_raw, unauthorized
from tests.api.closed import anyone as anyone
from tests.api.closed import operator as operator
from tests.api.conftest import chat_body
from tests.api.keys import bearer, lock, new_key, revoke
from tests.databases import database_url as database_url
from tests.running import app_running, until


def test_a_revoked_key_is_refused_at_the_next_call_and_told_no_more_than_a_wrong_one(operator, anyone):
    made = new_key(operator)
    assert anyone.get("/v1/models", headers=bearer(made)).status_code == 200
    revoke(operator, made)
    wrong = unauthorized(anyone.get("/v1/models", headers={"x-api-key": WRONG}))
    assert unauthorized(anyone.get("/v1/models", headers=bearer(made))) == wrong


def test_a_stream_that_runs_when_its_key_is_revoked_goes_on(operator, anyone, engine):
    made, engine.delay = new_key(operator), 0.05
    with anyone.stream("POST", "/v1/chat/completions", json=chat_body(stream=True), headers=bearer(made)) as answer:
        revoke(operator, made)
        assert answer.read().endswith(b"data: [DONE]\n\n")
    unauthorized(anyone.get("/v1/models", headers=bearer(made)))


def fathom(*arguments: str) -> str:
    """As an operator runs it, in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "fathom", *arguments], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.replace("The secret is shown this once: it is not stored.\n", "")) == (0, "")
    return done.stdout


def test_what_the_command_does_to_keys_holds_at_the_next_call(database_url):
    """It ends once the server has seen it, and nobody has to wait a moment longer."""
    store = f"store.url={database_url}"
    with app_running(ScriptedEngine(), load({"store.url": database_url})) as client:
        assert client.get("/version").status_code == 200
        made = json.loads(fathom("keys", "create", "--json", "--set", store))
        assert client.get("/v1/models", headers=bearer(made)).status_code == 200
        unauthorized(client.get("/v1/models"))
        rotated = json.loads(fathom("keys", "rotate", made["id"], "--json", "--set", store))
        unauthorized(client.get("/v1/models", headers=bearer(made)))
        assert client.get("/v1/models", headers=bearer(rotated)).status_code == 200
        fathom("keys", "revoke", made["id"], "--set", store)
        unauthorized(client.get("/v1/models", headers=bearer(rotated)))


def test_metrics_are_public_where_they_are_set_to_be():
    with app_running(ScriptedEngine(), load({"access.public_metrics": True})) as client:
        lock(client)
        del client.headers["authorization"]
        assert "fathom_requests_total" in client.get("/metrics").text
        unauthorized(client.get("/v1/models"))
        assert send_raw(client, "GET", "/metrics/") == 401


def test_a_server_that_others_reach_is_closed_before_there_is_a_key():
    with app_running(ScriptedEngine(), load({"http.host": "0.0.0.0"})) as client:
        unauthorized(client.get("/v1/models"))
        unauthorized(client.post("/admin/keys", json={}))
        assert client.get("/livez").status_code == 200


def test_a_request_is_made_in_the_name_of_its_key(client, engine):
    lock(client)
    made = new_key(client, tenant="us", weight=3, limits={"concurrent": 4})
    for path, body in (
        ("/v1/chat/completions", chat_body()),
        ("/v1/completions", {"model": "scripted", "prompt": ["a", "b"]}),
        ("/v1/messages", chat_body(max_tokens=9)),
        ("/v1/responses", {"model": "scripted", "input": "x"}),
        ("/v1/responses", {"model": "scripted", "input": "x", "store": False}),
        ("/v1/responses", {"model": "scripted", "input": "x", "background": True}),
    ):
        engine.requests.clear()
        assert client.post(path, json=body, headers=bearer(made)).status_code == 200
        until(lambda: engine.requests, "it is made")
        for caller in [request.caller for request in engine.requests]:
            assert (caller.tenant.id, caller.key, caller.weight) == ("us", made["id"], 3)
            assert caller.limits.concurrent == 4


def test_a_background_response_fails_if_its_key_is_revoked_before_its_turn(engine):
    with app_running(engine, load({"store.background_slots": 1})) as client:
        until(lambda: client.get("/readyz").status_code == 200, "the app is ready")
        lock(client)
        made, engine.delay = new_key(client), 0.3
        body = {"model": "scripted", "input": "one two three", "background": True}
        running, waiting = (
            client.post("/v1/responses", json=body, headers=bearer(made)).json()["id"] for _ in range(2)
        )
        until(lambda: engine.running, "the first one runs")
        revoke(client, made)

        def status(id: str) -> str:
            return client.get(f"/v1/responses/{id}").json()["status"]

        until(lambda: status(waiting) == "failed", "the second one has failed")
        until(lambda: status(running) == "completed", "the first one goes on to its end")
        assert "was revoked" in client.get(f"/v1/responses/{waiting}").json()["error"]["message"]
        assert len(engine.requests) == 1


def test_a_flood_of_wrong_keys_asks_nothing_of_the_database(operator, anyone):
    made = new_key(operator)
    before = statements(operator)
    began = time.monotonic()
    for at in range(2000):
        assert anyone.get("/v1/models", headers={"x-api-key": f"fk-{at:043}"}).status_code == 401
    asked, seconds = statements(operator) - before, time.monotonic() - began
    assert asked < 4 * seconds + 10, f"{asked} transactions in {seconds:.0f} s: more than happen without any requests"
    assert anyone.get("/v1/models", headers=bearer(made)).status_code == 200


def statements(client: httpx.Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("fathom_store_transaction_seconds_count"))


CANARY_PROMPT = "canary-prompt-5b1d"


def test_a_secret_and_a_prompt_are_nowhere_to_be_found(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/fathom.db"
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure(TelemetrySettings(log_level="debug", log_format="json"))
    try:
        told, secrets = use_keys(url)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    log = "".join(capfd.readouterr())
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert '"status": 401' in log
    assert '"key": "key_' in log
    for secret in secrets:
        for place in (log, told):
            assert secret not in place
            assert secret[8:30] not in place
        assert secret[8:30].encode() not in files
    assert CANARY_PROMPT not in log
    assert CANARY_PROMPT not in told


def use_keys(url: str) -> tuple[str, list[str]]:
    """All that errors and metrics say, and the secrets that were sent."""
    with app_running(ScriptedEngine(), load({"store.url": url})) as client:
        until(lambda: client.get("/readyz").status_code == 200, "the app is ready")
        first = lock(client)
        made = new_key(client, scopes=["inference"])
        rotated = client.post(f"/admin/keys/{made['id']}/rotate").json()
        chat = chat_body(messages=[{"role": "user", "content": CANARY_PROMPT}])
        told = []
        for each in (made, rotated, {"secret": WRONG[:-5] + "wrong"}, {"secret": "fk-canary" * 9}):
            for path in ("/v1/chat/completions", "/v1/messages", "/v1/responses", "/admin/keys", "/nowhere"):
                answer = client.post(path, json={**chat, "max_tokens": 9, "temperature": 9}, headers=bearer(each))
                assert answer.status_code in (400, 401, 403, 404)
                told.append(answer.text)
            client.post("/v1/chat/completions", json=chat, headers=bearer(each))
            client.get(f"/v1/models/{each['secret']}", headers={"x-api-key": each["secret"]})
        told.append(client.get("/metrics").text)
    return "".join(told), [first["secret"], made["secret"], rotated["secret"], WRONG[:-5] + "wrong"]
