"""What /v1/messages refuses, and how it says what went wrong."""

import json

import httpx
import pytest
from fathom.core.errors import EngineUnavailable
from fathom.core.events import Accepted, TextDelta
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.settings import load

from tests.api.messages import USER, body, error, post
from tests.api.unreadable import UNREADABLE
from tests.messages_stream import read_events
from tests.running import app_running, until


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages.0.content.0.type"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages.0.content.0"),
        ({"system": [{"type": "image"}]}, "system.0"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"stop_sequences": [""]}, "stop_sequences.0"),
        ({"stop_sequences": ["x"] * 65}, "stop_sequences"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"name": "no spaces", "input_schema": {}}]}, "tools.0.name"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"thinking": {"type": "maybe"}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": -1}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": "enormous"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"service_tier": "gold"}, "service_tier"),
        ({"mcp_servers": [{"type": "url", "url": "http://127.0.0.1:1"}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"speed": "fast"}, "speed"),
        ({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}, "context_management"),
    ],
)
def test_a_bad_field_is_400_and_named(client, fields, param):
    response = post(client, **fields)
    assert response.status_code == 400
    problem = error(response)
    assert problem["type"] == "invalid_request_error"
    assert param in problem["message"].split(" ")[0]


PART = {"type": "text", "text": "x"}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": [PART] * 9000}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [{"role": "user", "content": [PART] * 9000}] * 2}, "messages:"),
        ({"messages": [{"role": "user", "content": [RESULT, RESULT]}]}, "messages:"),
        ({"system": [PART] * 17_000}, "system:"),
    ],
)
def test_more_parts_than_can_be_read_in_good_time_are_refused(client, fields, param):
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        response = client.post(path, json=body(**fields))
        assert response.status_code == 400
        assert error(response)["message"].startswith(param)


def test_unknown_fields_are_ignored_and_named(client):
    for stream in (False, True):
        response = post(client, stream=stream, colour="red", messages=[USER | {"mood": "good"}])
        assert response.headers["x-fathom-ignored-params"] == "colour, messages.0.mood"


def test_a_strict_server_refuses_unknown_fields():
    with app_running(ScriptedEngine(), load({"http.strict": True})) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        for path in ("/v1/messages", "/v1/messages/count_tokens"):
            response = client.post(path, json=body() | {"colour": "red"})
            assert response.status_code == 400
            assert "colour" in error(response)["message"]


def test_another_model_is_404(client):
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        response = client.post(path, json=body(model="other"))
        assert response.status_code == 404
        assert error(response)["type"] == "not_found_error"


def test_whatever_goes_wrong_below_the_path_has_the_error_shape(client):
    missing = client.get("/v1/messages/batches")
    assert (missing.status_code, error(missing)["type"]) == (404, "not_found_error")
    slashed = client.post("/v1/messages/", json=body())
    assert (slashed.status_code, error(slashed)["type"]) == (404, "not_found_error")
    wrong = client.get("/v1/messages")
    assert (wrong.status_code, error(wrong)["type"]) == (405, "invalid_request_error")
    assert wrong.headers["allow"] == "POST"
    typed = client.post("/v1/messages", content=b"{}", headers={"content-type": "text/plain"})
    assert (typed.status_code, error(typed)["type"]) == (415, "invalid_request_error")
    large = client.post("/v1/messages", content=b"x" * ((8 << 20) + 1), headers={"content-type": "application/json"})
    assert (large.status_code, error(large)["type"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    "content",
    [
        *UNREADABLE,
        json.dumps(body(messages=[{"role": "user", "content": "half \ud800"}])).encode(),
        json.dumps(body(temperature=float("nan"))).encode(),
        json.dumps(body(messages=[{"role": 1, "content": {}}] * 3000)).encode(),
    ],
)
def test_malformed_bodies_are_400_in_the_error_shape(client, content):
    response = client.post("/v1/messages", content=content, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert error(response)["type"] == "invalid_request_error"
    assert len(response.content) < 2000


def test_a_path_that_only_begins_like_it_is_openais(client):
    assert client.get("/v1/messagesandmore").json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_that_is_not_ready_is_503_and_says_when_to_come_back(client, engine, stream):
    engine.script = lambda _request: [EngineUnavailable("no engine today", retry_after=7)]
    response = post(client, stream=stream)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "7"
    assert error(response) == {"type": "overloaded_error", "message": "no engine today"}


def test_a_failure_in_the_middle_is_an_error_event_and_the_stream_does_not_look_complete(client, engine):
    engine.script = lambda _request: (Accepted(1), TextDelta("half an ans"), EngineUnavailable("the engine died"))
    response = post(client, stream=True)
    events = read_events(response.text)
    assert events[-1]["error"] == {"type": "overloaded_error", "message": "the engine died"}
    assert events[-1]["request_id"] == response.headers["request-id"]
    assert {"message_delta", "message_stop", "content_block_stop"}.isdisjoint(event["type"] for event in events)


def test_a_bug_in_the_middle_is_an_error_event_too(client, engine):
    engine.script = lambda _request: (Accepted(1), TextDelta("half an ans"), RuntimeError("secret"))
    pieces: list[str] = []
    with (
        client.stream("POST", "/v1/messages", json=body(stream=True)) as response,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        pieces.extend(response.iter_text())
    assert read_events("".join(pieces))[-1]["error"]["type"] == "api_error"
    assert "secret" not in "".join(pieces)


def test_the_openapi_document_describes_these_errors(client):
    paths = client.get("/openapi.json").json()["paths"]
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        shape = paths[path]["post"]["responses"]["4XX"]["content"]["application/json"]["schema"]
        assert shape["$ref"].endswith("/MessagesErrorBody")
