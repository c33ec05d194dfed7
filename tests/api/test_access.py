"""Who may call what, over HTTP: nothing is open that is not meant to be."""

import time
from http.client import HTTPConnection

import pytest
from fathom.api.access import PUBLIC
from fathom.app import create_app
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.settings import load
from starlette.routing import Mount, Route

from tests.api.closed import WRONG, send_raw, unauthorized
from tests.api.closed import anyone as anyone
from tests.api.closed import operator as operator
from tests.api.keys import bearer, new_key

DOCUMENT = create_app(load(), ScriptedEngine()).openapi()
PROBES = {"/livez", "/readyz", "/startupz", "/version"}
OPERATIONS = [
    (method.upper(), path.replace("{", "").replace("}", ""), operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]
GUARDED = [(method, path) for method, path, _ in OPERATIONS if path not in PROBES]
ADMIN = [(method, path) for method, path in GUARDED if path.startswith("/admin/") or path == "/metrics"]


def test_the_document_has_routes_of_every_kind():
    assert len(GUARDED) > 15
    assert ("POST", "/v1/chat/completions") in GUARDED
    assert len(ADMIN) == 8


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


def test_a_path_that_is_not_there_looks_like_one_that_is(anyone):
    told = {anyone.get(path).json()["error"]["message"] for path in ("/v1/models", "/v1/nothing", "/admin/keys")}
    assert len(told) == 1


def test_a_public_path_takes_no_other_method(anyone):
    assert anyone.post("/livez").status_code == 405


def test_a_request_without_a_key_is_refused_before_its_body_comes(anyone):
    connection = HTTPConnection(anyone.base_url.host, anyone.base_url.port, timeout=10)
    connection.putrequest("POST", "/v1/chat/completions")
    connection.putheader("content-length", "1000")
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()


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
    [b"' OR pg_sleep(8)--", b"'; DROP TABLE keys;--", b"x" * 60_000, b"fk-" + b"x" * 60_000, b"\xff\xfe" * 23,
     b"fk-" + b"\xc3\xbc" * 21 + b"a", b"%00" * 15 + b"a", b"fk-" + b"'" * 43, b"{}", b"../../etc/passwd"],
)  # fmt: skip
def test_a_wild_key_is_refused_like_any_other(anyone, wild):
    expected = unauthorized(anyone.get("/v1/models", headers={"x-api-key": WRONG}))
    for name, value in (("authorization", b"Bearer " + wild), ("x-api-key", wild)):
        began = time.monotonic()
        answer = anyone.get("/v1/models", headers=[(name.encode(), value)])
        assert unauthorized(answer) == expected
        assert time.monotonic() - began < 5, "it was thought about"
