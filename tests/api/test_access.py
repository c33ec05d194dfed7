"""Who may call what, over HTTP: nothing is open that is not meant to be, and a secret is nowhere to be found."""

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fathom.api.access import PUBLIC
from fathom.app import create_app
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.settings import TelemetrySettings, load
from fathom.telemetry import logging as logs
from starlette.routing import Mount, Route

from tests.api.conftest import chat_body
from tests.api.keys import bearer, lock, new_key, revoke
from tests.databases import database_url as database_url
from tests.running import app_running, until

DOCUMENT = create_app(load(), ScriptedEngine()).openapi()
PROBES = {"/livez", "/readyz", "/startupz", "/version"}
OPERATIONS = [
    (method.upper(), path.replace("{", "").replace("}", ""), operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]
GUARDED = [(method, path) for method, path, _ in OPERATIONS if path not in PROBES]
ADMIN = [(method, path) for method, path in GUARDED if path.startswith("/admin/") or path == "/metrics"]
WRONG = "fk-" + "a" * 43


@pytest.fixture(scope="module")
def operator() -> Iterator[httpx.Client]:
    """Of an app that has keys. It sends the first one."""
    with app_running(ScriptedEngine()) as client:
        until(lambda: client.get("/readyz").status_code == 200, "the app is ready")
        lock(client)
        yield client


@pytest.fixture(scope="module")
def anyone(operator: httpx.Client) -> Iterator[httpx.Client]:
    """Of the same app. It sends none."""
    with httpx.Client(base_url=operator.base_url, timeout=30) as without:
        yield without


def unauthorized(answer: httpx.Response) -> dict:
    assert answer.status_code == 401, answer.text
    assert answer.headers["www-authenticate"] == "Bearer"
    body = answer.json()
    assert body["error"]["type"] in ("invalid_request_error", "authentication_error")
    return body["error"]


def test_the_document_has_routes_of_every_kind():
    assert len(GUARDED) > 15
    assert ("POST", "/v1/chat/completions") in GUARDED
    assert len(ADMIN) == 7


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_a_route_that_is_not_public_takes_a_key(operator, anyone, method, path):
    unauthorized(anyone.request(method, path))
    unauthorized(anyone.request(method, path, json={}))
    for header in ({"authorization": f"Bearer {WRONG}"}, {"x-api-key": WRONG}):
        unauthorized(anyone.request(method, path, headers=header))
    assert operator.request(method, path).status_code not in (401, 403)


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_a_route_that_is_not_public_takes_its_scope(operator, anyone, method, path):
    scope = "admin" if (method, path) in ADMIN else "inference"
    rest = [other for other in ("inference", "rollouts", "admin") if other != scope]
    refused = anyone.request(method, path, headers=bearer(new_key(operator, scopes=rest)))
    assert refused.status_code == 403
    assert scope in refused.json()["error"]["message"]
    let_in = anyone.request(method, path, headers=bearer(new_key(operator, scopes=[scope])))
    assert let_in.status_code not in (401, 403)


@pytest.mark.parametrize("path", sorted(PUBLIC))
def test_what_is_public_is_a_route_and_takes_no_key(anyone, path):
    assert anyone.get(path).status_code == 200


def test_the_document_says_what_takes_a_key():
    for _, path, operation in OPERATIONS:
        assert operation.get("security") == (None if path in PROBES else [{"key": []}])
    assert DOCUMENT["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_the_page_of_the_docs_works_without_a_key(anyone):
    for file in ("swagger-ui.css", "swagger-ui-bundle.js", "favicon.png"):
        assert anyone.get(f"/static-offline-docs/{file}").status_code == 200


def test_there_is_no_route_of_a_kind_that_is_not_looked_at():
    routes = create_app(load(), ScriptedEngine()).routes
    assert {type(each) for each in routes if not isinstance(each, Route)} == {Mount}
    assert [each.path for each in routes if isinstance(each, Mount)] == ["/static-offline-docs"]


@pytest.mark.parametrize(
    "path",
    [
        "//livez", "/livez/", "/livez/..", "/livez/../v1/models", "/./livez", "/LIVEZ", "/livez%2f", "/livez%00",
        "/livez;x", "/%2flivez", "/docs/", "/docs/../v1/models", "/docs/..%2fv1%2fmodels", "/openapi.json/",
        "//v1/models", "/v1//models", "/v1/../v1/models", "/%2e%2e/v1/models", "/v1%2fmodels", "/v1/models/..",
        "/livez/v1/models", "/static-offline-docs", "/static-offline-docsx", "//static-offline-docs/swagger-ui.css",
        "/nowhere", "/", "/admin", "/admin/", "/admin/keys/", "/metrics/", "/v1/livez",
    ],
)  # fmt: skip
def test_no_spelling_of_a_path_is_let_in_without_a_key(anyone, path):
    for method in ("GET", "HEAD", "POST", "OPTIONS", "DELETE"):
        assert send_raw(anyone, method, path) == 401


@pytest.mark.parametrize(
    "path",
    ["/static-offline-docs/../v1/models", "/static-offline-docs/..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
     "/static-offline-docs/%2e%2e/%2e%2e/fastapi_offline/core.py", "/static-offline-docs//etc/passwd",
     "/static-offline-docs/x%00"],
)  # fmt: skip
def test_the_files_of_the_docs_lead_nowhere_else(anyone, path):
    assert send_raw(anyone, "GET", path) == 404


def send_raw(client: httpx.Client, method: str, path: str) -> int:
    """The status. The path goes out as it is written here."""
    request = client.build_request(method, "/x")
    request.extensions["target"] = path.encode()
    return client.send(request).status_code


def test_a_path_that_is_not_there_looks_like_one_that_is(anyone):
    told = {anyone.get(path).json()["error"]["message"] for path in ("/v1/models", "/v1/nothing", "/admin/keys")}
    assert len(told) == 1


def test_a_public_path_takes_no_other_method(anyone):
    assert anyone.post("/livez").status_code == 405


def test_the_body_of_a_request_without_a_key_is_not_read(anyone):
    def chunks():
        yield b"{"
        assert refused.wait(10), "the answer came too late"

    refused = threading.Event()
    url = f"{anyone.base_url}/v1/chat/completions"
    with httpx.Client() as client:
        request = client.build_request("POST", url, content=chunks(), headers={"content-type": "application/json"})
        watch = threading.Thread(target=lambda: (time.sleep(0.5), refused.set()))
        watch.start()
        assert client.send(request).status_code == 401
        watch.join()


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_the_error_has_the_shape_of_its_dialect(operator, anyone, path):
    error = unauthorized(anyone.post(path, json={}))
    assert (error["type"], set(error)) == ("authentication_error", {"type", "message"})
    refused = anyone.post(path, json={}, headers=bearer(new_key(operator, scopes=["admin"])))
    assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")


def test_the_errors_of_all_other_routes_are_openais(operator, anyone):
    error = unauthorized(anyone.get("/v1/models"))
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "invalid_api_key", None)
    refused = anyone.get("/v1/models", headers=bearer(new_key(operator, scopes=["admin"]))).json()["error"]
    assert (refused["type"], refused["code"]) == ("invalid_request_error", "insufficient_permissions")


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer {}"},
        {"authorization": "bearer {}"},
        {"authorization": "BEARER  {}"},
        {"x-api-key": "{}"},
        {"authorization": "Basic dXNlcjpwYXNz", "x-api-key": "{}"},
        {"authorization": "Bearer {}", "x-api-key": WRONG},
    ],
)
def test_a_key_comes_as_a_bearer_or_in_its_own_header(operator, anyone, headers):
    secret = new_key(operator)["secret"]
    sent = {name: value.format(secret) for name, value in headers.items()}
    assert anyone.get("/v1/models", headers=sent).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "{}"},
        {"authorization": "Token {}"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer{}"},
        {"authorization": "Bearer {}x"},
        {"authorization": "Bearer x{}"},
        {"authorization": f"Bearer {WRONG}", "x-api-key": "{}"},
        {"cookie": "authorization=Bearer {}"},
        {"api-key": "{}"},
    ],
)
def test_a_key_that_comes_otherwise_is_none(operator, anyone, headers):
    secret = new_key(operator)["secret"]
    sent = {name: value.format(secret) for name, value in headers.items()}
    unauthorized(anyone.get("/v1/models", headers=sent))
    unauthorized(anyone.get(f"/v1/models?api_key={secret}&authorization=Bearer+{secret}"))


@pytest.mark.parametrize(
    "wild",
    [b"' OR pg_sleep(8)--", b"'; DROP TABLE keys;--", b"x" * (1 << 20), b"fk-" + b"x" * (1 << 20), b"\xff\xfe" * 23,
     b"fk-" + b"\xc3\xbc" * 21 + b"a", b"%00" * 15 + b"a", b"fk-" + b"'" * 43, b"{}", b"../../etc/passwd"],
)  # fmt: skip
def test_a_wild_key_is_refused_like_any_other(anyone, wild):
    expected = unauthorized(anyone.get("/v1/models", headers={"x-api-key": WRONG}))
    for name, value in (("authorization", b"Bearer " + wild), ("x-api-key", wild)):
        began = time.monotonic()
        answer = anyone.get("/v1/models", headers=[(name.encode(), value)])
        assert unauthorized(answer) == expected
        assert time.monotonic() - began < 5, "it was thought about"


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
