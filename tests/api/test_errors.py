import json

import pytest
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.settings import load

from tests.api.conftest import chat_body
from tests.api.unreadable import UNREADABLE
from tests.running import app_running, until

USER = {"role": "user", "content": "x"}
TOOL = {"type": "function", "function": {"name": "f"}}
CALL = {"id": "1", "function": {"name": "f", "arguments": "{}"}}


def error(response) -> dict:
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.tool_call_id"),
        ({"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "1"}]}]}, "messages.1.tool_calls.0.function"),
        ({"messages": [{"role": "user", "content": "x", "tool_calls": [CALL]}]}, "messages.0.tool_calls"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * 9000}] * 2}, "messages"),
        ({"messages": [USER], "continue_final_message": True}, "continue_final_message"),
        ({"messages": [USER | {"prefix": True}]}, "messages.0.prefix"),
        ({"messages": [{"role": "assistant", "content": "x", "prefix": True}, USER]}, "messages.0.prefix"),
        ({"messages": [{"role": "assistant", "tool_calls": [CALL], "prefix": True}]}, "messages.0.prefix"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 2**63}, "max_tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": ""}, "stop.0"),
        ({"logit_bias": {"x": 1}}, "logit_bias.x"),
        ({"n": 0}, "n"),
        ({"n": 10**6}, "n"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL, TOOL]}, "tools.1.function.name"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools.0.type"),
        ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "tools.0.function.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"structured_outputs": {"regex": "a", "choice": ["b"]}}, "structured_outputs"),
        ({"chat_template_kwargs": {"chat_template": "{{ 1 }}"}}, "chat_template_kwargs.chat_template"),
        ({"chat_template_kwargs": {"x": [1]}}, "chat_template_kwargs.x"),
        ({"chat_template_kwargs": {"enable_thinking": "yes"}}, "chat_template_kwargs.enable_thinking"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
        ({"reasoning": {"max_tokens": -1}}, "reasoning.max_tokens"),
        ({"metadata": {"k": "v" * 600}}, "metadata.k"),
        ({"presence_penalty": 9}, "presence_penalty"),
        ({"thinking": {"type": "maybe"}}, "thinking.type"),
    ],
)
def test_a_bad_field_is_400_and_named(client, fields, param):
    response = client.post("/v1/chat/completions", json=chat_body(**fields))
    assert response.status_code == 400
    problem = error(response)
    assert problem["type"] == "invalid_request_error"
    if param is not None:
        assert problem["param"] == param


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("store", True),
        ("modalities", ["text", "audio"]),
        ("functions", [{"name": "f"}]),
        ("guided_json", {}),
        ("verbosity", "low"),
        ("chat_template", "{{ messages }}"),
        ("prompt_embeds", "AAAA"),
    ],
)
def test_a_known_field_that_cannot_be_honoured_is_refused_by_name(client, name, value):
    response = client.post("/v1/chat/completions", json=chat_body(**{name: value}))
    assert response.status_code == 400
    assert error(response)["param"] == name
    assert error(response)["code"] == "unsupported_value"


def test_the_harmless_value_of_such_a_field_passes(client):
    harmless = {"n": 1, "tools": [], "logprobs": False, "response_format": {"type": "text"}, "store": False}
    assert client.post("/v1/chat/completions", json=chat_body(**harmless)).status_code == 200


def test_unknown_fields_are_ignored_and_named(client):
    for stream in (False, True):
        response = client.post("/v1/chat/completions", json=chat_body(stream=stream, colour="red", mood=1, user="me"))
        assert response.status_code == 200
        assert response.headers["x-fathom-ignored-params"] == "colour, mood"


def test_unknown_fields_inside_of_others_are_named_too(client):
    turns = [{"role": "user", "content": "x", "mood": "good"}]
    body = chat_body(messages=turns, stream=True, stream_options={"include_usage": True, "pace": 1})
    response = client.post("/v1/chat/completions", json=body)
    assert response.headers["x-fathom-ignored-params"] == "messages.0.mood, stream_options.pace"


def test_a_strict_server_refuses_unknown_fields():
    with app_running(ScriptedEngine(), load({"http.strict": True})) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        response = client.post("/v1/chat/completions", json=chat_body(stream_options={"pace": 1}))
        assert response.status_code == 400
        assert error(response)["code"] == "unknown_parameter"
        assert error(response)["param"] == "stream_options.pace"
        assert client.post("/v1/chat/completions", json=chat_body()).status_code == 200


def test_an_unknown_model_is_404_and_says_what_is_served(client):
    response = client.post("/v1/chat/completions", json=chat_body(model="gpt-9"))
    assert response.status_code == 404
    assert error(response)["code"] == "model_not_found"
    assert "scripted" in error(response)["message"]


@pytest.mark.parametrize(
    "content",
    [
        *UNREADABLE,
        b'{"model":"scripted","messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"scripted","messages":[{"role":"user","content":"x"}],"temperature":NaN}',
        b'{"model":"scripted","messages":[{"role":"user","content":"x"}],"seed":' + b"9" * 5000 + b"}",
    ],
)
def test_malformed_bodies_are_400_in_the_error_shape(client, content):
    headers = {"content-type": "application/json"}
    response = client.post("/v1/chat/completions", content=content, headers=headers)
    assert response.status_code == 400
    assert error(response)["type"] == "invalid_request_error"


def test_many_mistakes_make_a_small_reply(client):
    turns = [{"role": 1, "content": {}} for _ in range(3000)]
    response = client.post("/v1/chat/completions", json=chat_body(messages=turns))
    assert response.status_code == 400
    assert len(response.content) < 2000


def test_a_wrong_content_type_is_415(client):
    body = json.dumps(chat_body())
    response = client.post("/v1/chat/completions", content=body, headers={"content-type": "text/plain"})
    assert response.status_code == 415
    assert "application/json" in error(response)["message"]


def test_a_large_body_is_413_declared_or_chunked(client):
    limit = 8 << 20
    headers = {"content-type": "application/json"}
    declared = client.post("/v1/chat/completions", content=b"x" * (limit + 1), headers=headers)
    assert declared.status_code == 413
    assert error(declared)["code"] == "payload_too_large"
    chunked = client.post(
        "/v1/chat/completions", content=(b"x" * (1 << 20) for _ in range(limit // (1 << 20) + 1)), headers=headers
    )
    assert chunked.status_code == 413


def test_unknown_paths_and_methods_have_the_error_shape(client):
    missing = client.get("/v1/nothing")
    assert missing.status_code == 404
    assert "/v1/nothing" in error(missing)["message"]
    wrong = client.get("/v1/chat/completions")
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "POST"
    error(wrong)
