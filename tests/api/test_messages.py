"""/v1/messages through the whole app. The client checks every response against the types of Anthropic's SDK."""

import httpx
import pytest
from fathom.core.events import Accepted, Finished, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStart
from fathom.core.generation import Chat, Message, Sampling, ToolCall, ToolUse
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.settings import load

from tests.api.messages import USER, body, error, message, post
from tests.messages_stream import read_events
from tests.running import app_running, until

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
