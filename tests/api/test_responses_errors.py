"""Every kind of bad input is an error of OpenAI's shape, and names its field."""

import json
from collections.abc import Iterator

import httpx
import pytest
from fathom.engine.scripted_engine import ScriptedEngine

from tests.api.responses import TOOL, URL, create
from tests.running import app_running, until


def nested(levels: int) -> dict:
    return {"a": nested(levels - 1)} if levels else {}


USER = {"role": "user", "content": "x"}
JSON = {"content-type": "application/json"}
PICTURE = {"type": "input_image", "image_url": "https://example.com/cat.png"}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """One for all tests: none of them changes anything."""
    with app_running(ScriptedEngine()) as client:
        until(lambda: client.get("/readyz").status_code == 200, "the app is ready")
        yield client


def error(answer) -> dict:
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 3}, "input"),
        ({"input": ["x"]}, "input.0"),
        ({"input": [{"role": "user"}]}, "input.0.content"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input.0.role"),
        ({"input": [{"role": "user", "content": [PICTURE]}]}, "input.0.content.0"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input.0.content.0"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input.0.call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input.0.output"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "4"}]}, "input.0.call_id"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}] * 9000}] * 2}, "input"),
        ({"prompt_cache_key": "x" * 513}, "prompt_cache_key"),
        ({"input": [{"type": "item_reference", "id": "msg_gone"}]}, "input.0.id"),
        ({"input": [{"type": "web_search_call", "id": "ws_1"}]}, "input.0"),
        ({"input": [{"type": "reasoning", "summary": [], "encrypted_content": "x"}]}, "input.0.encrypted_content"),
        ({"input": "\ud800"}, "input"),
        ({"instructions": "\ud800"}, "instructions"),
        ({"user": "\ud800"}, "user"),
        ({"previous_response_id": "resp_gone"}, "previous_response_id"),
        ({"previous_response_id": "\x00"}, "previous_response_id"),
        ({"background": True, "store": False}, "background"),
        ({"background": True, "input": "x" * 5000}, "input"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": 2**63}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"include": ["everything"]}, "include.0"),
        ({"truncation": "some"}, "truncation"),
        ({"metadata": {"k": "v" * 600}}, "metadata.k"),
        ({"reasoning": {"effort": "enormous"}}, "reasoning.effort"),
        ({"reasoning": {"summary": "long"}}, "reasoning.summary"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"type": "function", "name": "no spaces"}]}, "tools.0.name"),
        ({"tools": [TOOL, TOOL]}, "tools.1.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "g"}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [{**TOOL, "parameters": nested(150)}]}, "tools"),
        ({"tools": [{**TOOL, "parameters": nested(150)}], "background": True}, "tools"),
        ({"tools": [{**TOOL, "parameters": nested(600)}]}, None),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_bad_field_is_400_and_named(client, fields, param, streamed):
    body = json.dumps({"model": "scripted", "input": "x", "stream": streamed, **fields})  # halves of pairs are escaped
    answer = client.post(URL, content=body, headers=JSON)
    assert answer.status_code == 400, answer.text
    assert error(answer)["type"] == "invalid_request_error"
    assert error(answer)["param"] == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"max_tool_calls": 1}, "max_tool_calls"),
        ({"messages": [USER]}, "messages"),
        ({"max_tokens": 5}, "max_tokens"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"reasoning": {"context": "all_turns"}}, "reasoning.context"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(client, fields, param):
    answer = client.post(URL, json={"model": "scripted", "input": "x", **fields})
    assert answer.status_code == 400
    assert (error(answer)["param"], error(answer)["code"]) == (param, "unsupported_value")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("?starting_after=3", "starting_after"),
        ("?stream=true&starting_after=x", "starting_after"),
        ("?stream=true&starting_after=-1", "starting_after"),
        ("?include=everything", "include"),
        ("?stream=maybe", "stream"),
        ("?include_obfuscation=true", "include_obfuscation"),
        ("/input_items?limit=0", "limit"),
        ("/input_items?limit=101", "limit"),
        ("/input_items?order=random", "order"),
        ("/input_items?after=msg_gone", "after"),
        ("/input_items?include[]=everything", "include"),
    ],
)
def test_a_bad_query_is_400_and_named(client, query, param):
    answer = client.get(f"{URL}/{create(client)['id']}{query}")
    assert answer.status_code == 400, answer.text
    assert error(answer)["param"] == param


@pytest.mark.parametrize("response_id", ["resp_gone", "%00", "%ff", "' OR 1=1 --", "x" * 5000, "résp", "input_tokens"])
def test_an_id_that_is_not_there_is_404(client, response_id):
    for path in ("", "?stream=true", "/input_items"):
        answer = client.get(f"{URL}/{response_id}{path}")
        assert answer.status_code == 404
        assert error(answer)["code"] == "not_found"
    assert client.delete(f"{URL}/{response_id}").status_code == 404


def test_an_unknown_model_is_404(client):
    for path in ("", "/input_tokens"):
        answer = client.post(URL + path, json={"model": "gone", "input": "x"})
        assert answer.status_code == 404
        assert error(answer)["code"] == "model_not_found"


@pytest.mark.parametrize("text", ["{", "[]", '"x"', '{"model": "scripted", "input": [' + "[" * 100_000])
def test_a_body_that_is_no_object_is_400(client, text):
    answer = client.post(URL, content=text, headers=JSON)
    assert answer.status_code == 400
    error(answer)
