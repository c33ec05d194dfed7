"""/v1/messages through the whole app. The client checks every response against the types of Anthropic's SDK."""

import json

import httpx
import pytest
from fathom.core.errors import EngineUnavailable
from fathom.core.events import Accepted, Finished, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStart
from fathom.core.generation import Chat, Message, Sampling, ToolCall, ToolUse
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.settings import load

from tests.messages_stream import joined, read_events
from tests.running import app_running, until

USER = {"role": "user", "content": "one two three"}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
CALLS = (
    Accepted(4),
    ReasoningDelta("hm"),
    TextDelta("Let me see."),
    ToolCallStart(0, "call_0", "f"),
    ToolCallDelta(0, '{"a": '),
    ToolCallDelta(0, "1}"),
    Finished("tool_calls", 4, 9, reasoning_tokens=2),
)


def body(**fields: object) -> dict:
    return {"model": "scripted", "max_tokens": 50, "messages": [USER], **fields}


def post(client: httpx.Client, **fields: object) -> httpx.Response:
    return client.post("/v1/messages", json=body(**fields))


def message(response: httpx.Response) -> dict:
    """Of a whole response, or put together from a stream's events."""
    assert response.status_code == 200, response.text
    if response.headers["content-type"].startswith("text/event-stream"):
        return joined([event for event in read_events(response.text) if event["type"] != "ping"])
    return response.json()


def error(response: httpx.Response) -> dict:
    problem = response.json()
    assert set(problem) == {"type", "error", "request_id"}
    assert problem["request_id"] == response.headers["request-id"]
    assert set(problem["error"]) == {"type", "message"}
    return problem["error"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_message_has_trace_answer_and_usage(client, stream):
    found = message(post(client, stream=stream))
    thinking, text = found["content"]
    assert thinking["thinking"] == "Let me think."
    assert text == {"type": "text", "text": "one two three"}
    assert (found["stop_reason"], found["stop_sequence"]) == ("end_turn", None)
    assert (found["role"], found["model"]) == ("assistant", "scripted")
    assert found["usage"] == {
        "input_tokens": 7,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 3},
        "service_tier": "standard",
    }


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_comes_as_a_block_with_its_input(client, engine, stream):
    engine.script = lambda _request: CALLS
    found = message(post(client, stream=stream, tools=[TOOL]))
    assert [block["type"] for block in found["content"]] == ["thinking", "text", "tool_use"]
    assert found["content"][2] == {"type": "tool_use", "id": "call_0", "name": "f", "input": {"a": 1}}
    assert found["stop_reason"] == "tool_use"


@pytest.mark.parametrize("stream", [False, True])
def test_what_came_from_the_cache_is_counted_apart(client, engine, stream):
    engine.script = lambda _request: (Accepted(10), TextDelta("x"), Finished("stop", 10, 1, cached_tokens=8))
    usage = message(post(client, stream=stream))["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (2, 8)


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_sequence_is_told(client, engine, stream):
    engine.script = lambda _request: (Accepted(1), TextDelta("x"), Finished("stop", 1, 1, stop="END"))
    found = message(post(client, stream=stream, stop_sequences=["END", "FIN"]))
    assert (found["stop_reason"], found["stop_sequence"]) == ("stop_sequence", "END")
    assert engine.requests[-1].sampling.stop == ("END", "FIN")


@pytest.mark.parametrize("stream", [False, True])
def test_a_whole_turn_can_be_sent_back(client, engine, stream):
    engine.script = lambda _request: CALLS
    turn = message(post(client, stream=stream, tools=[TOOL]))
    result = {"type": "tool_result", "tool_use_id": "call_0", "content": "42"}
    turns = [USER, {"role": "assistant", "content": turn["content"]}, {"role": "user", "content": [result]}]
    answer = post(client, stream=stream, tools=[TOOL], messages=turns)
    assert answer.status_code == 200
    assert "x-fathom-ignored-params" not in answer.headers
    assert engine.requests[-1].prompt.messages[1:] == (
        Message("assistant", "Let me see.", reasoning="hm", tool_calls=(ToolCall("call_0", "f", '{"a": 1}'),)),
        Message("tool", "42", tool_call_id="call_0"),
    )


@pytest.mark.parametrize("stream", [False, True])
def test_an_omitted_trace_comes_back_with_its_signature(client, engine, stream):
    first = post(client, stream=stream, thinking={"type": "adaptive", "display": "omitted"})
    assert "Let me" not in first.text
    content = message(first)["content"]
    assert content[0]["thinking"] == ""
    post(client, messages=[USER, {"role": "assistant", "content": content}, USER])
    assert engine.requests[-1].prompt.messages[1].reasoning == "Let me think."


def test_a_trace_that_was_changed_is_refused(client):
    content = message(post(client))["content"]
    content[0]["thinking"] += " Differently."
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        response = client.post(path, json=body(messages=[USER, {"role": "assistant", "content": content}, USER]))
        assert response.status_code == 400
        assert error(response)["message"].startswith("messages.1.content.0: ")


def test_parameters_reach_the_engine(client, engine):
    post(
        client,
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        system="Be kind.",
        tools=[TOOL],
        tool_choice={"type": "any"},
        thinking={"type": "enabled", "budget_tokens": 20},
        output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}},
    )
    request = engine.requests[-1]
    assert request.sampling == Sampling(max_tokens_fit=True, max_tokens=50, temperature=0.5, top_p=0.9, top_k=4)
    assert isinstance(request.prompt, Chat)
    assert [turn.role for turn in request.prompt.messages] == ["system", "user"]
    assert request.prompt.tools.mode == "required"
    assert (request.reasoning.enabled, request.reasoning.budget) == (True, 20)
    assert request.structure
    assert request.structure.kind == "json_schema"


def test_the_last_message_is_continued_if_it_is_the_assistants(client, engine):
    post(client, messages=[USER, {"role": "assistant", "content": "The sky"}])
    assert engine.requests[-1].prompt.continues
    assert engine.requests[-1].prompt.tools == ToolUse()


def test_fields_that_ask_for_nothing_here_pass(client):
    harmless = {
        "metadata": {"user_id": "me"},
        "service_tier": "standard_only",
        "cache_control": {"type": "ephemeral"},
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "speed": "standard",
        "container": None,
    }
    response = client.post("/v1/messages?beta=true", json=body(**harmless), headers=HEADERS)
    assert response.status_code == 200
    assert "x-fathom-ignored-params" not in response.headers


HEADERS = {"x-api-key": "none", "anthropic-version": "2023-06-01", "anthropic-beta": "context-1m-2025-08-07"}


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
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'"text"',
        b"",
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


def test_every_response_has_its_id_under_anthropics_name(client):
    for stream in (False, True):
        headers = post(client, stream=stream).headers
        assert headers["request-id"] == headers["x-request-id"]
    assert client.post("/v1/messages", json=body(), headers={"x-request-id": "my-own-id"}).headers["request-id"] == (
        "my-own-id"
    )


def test_a_silent_stream_is_kept_alive_by_pings():
    script = (Accepted(1), TextDelta("late"), Finished("stop", 1, 1))
    engine = ScriptedEngine(lambda _request: script, delay=0.5)
    with app_running(engine, load({"http.keep_alive": 0.1})) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        response = post(client, stream=True)
    kinds = [event["type"] for event in read_events(response.text)]
    assert kinds[:2] == ["message_start", "ping"]
    assert kinds.count("ping") >= 4
    assert ": keep-alive" not in response.text
    assert kinds[-1] == "message_stop"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_aborts_the_request(stream):
    engine = ScriptedEngine(delay=0.05)
    long = body(stream=stream, messages=[{"role": "user", "content": "word " * 500}])
    with app_running(engine) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        if stream:
            with client.stream("POST", "/v1/messages", json=long) as response:
                next(response.iter_lines())
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post("/v1/messages", json=long, timeout=0.3)
        until(lambda: engine.aborted and not engine.running, "the engine's request is aborted", 1)


def test_the_tokens_of_a_prompt_are_counted(client):
    response = client.post("/v1/messages/count_tokens", json={"model": "scripted", "messages": [USER]})
    assert response.json() == {"input_tokens": len("one two three")}


def test_the_same_prompt_is_counted_as_would_be_read():
    class Recording(ScriptedEngine):
        async def tokenize(self, prompt, reasoning):
            self.asked = (prompt, reasoning)
            return await super().tokenize(prompt, reasoning)

    engine = Recording()
    with app_running(engine) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        prompt = {"system": "s", "tools": [TOOL], "thinking": {"type": "disabled"}, "tool_choice": {"type": "none"}}
        post(client, **prompt)
        counted = body(**prompt)
        del counted["max_tokens"]
        client.post("/v1/messages/count_tokens", json=counted)
    assert engine.asked == (engine.requests[-1].prompt, engine.requests[-1].reasoning)
