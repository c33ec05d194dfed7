import json

import httpx
import pytest
from fathom.core.errors import EngineUnavailable
from fathom.core.events import Accepted, Finished, ReasoningDelta, TextDelta
from fathom.engine.scripted_engine import ScriptedEngine

from tests.api.conftest import chat_body
from tests.running import app_running, until


def post(client: httpx.Client, **fields: object) -> httpx.Response:
    return client.post("/v1/chat/completions", json=chat_body(**fields))


def chunks(response: httpx.Response) -> list[dict]:
    frames = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line.startswith("data: ")]
    assert frames[-1] == "[DONE]"
    return [json.loads(frame) for frame in frames[:-1]]


def test_a_completion_has_trace_answer_and_usage(client):
    body = post(client).json()
    message = body["choices"][0]["message"]
    assert message == {
        "role": "assistant",
        "content": "one two three",
        "refusal": None,
        "reasoning_content": "Let me think.",
        "reasoning": "Let me think.",
    }
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["choices"][0]["logprobs"] is None
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 3
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]


def test_a_stream_has_the_chunks_that_clients_expect(client):
    response = post(client, stream=True, stream_options={"include_usage": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    parts = chunks(response)
    deltas = [part["choices"][0]["delta"] for part in parts if part["choices"]]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert deltas[1] == {"reasoning_content": "Let me", "reasoning": "Let me"}
    assert {"content": "one"} in deltas
    assert deltas[-1] == {}
    assert [part["choices"][0]["finish_reason"] for part in parts if part["choices"]][-2:] == [None, "stop"]
    assert parts[-1]["choices"] == []
    assert parts[-1]["usage"]["total_tokens"] > 0
    assert all(part["usage"] is None for part in parts[:-1])


def test_without_include_usage_no_chunk_speaks_of_usage(client):
    assert all("usage" not in part for part in chunks(post(client, stream=True)))


def test_stream_and_whole_say_the_same(client):
    message = post(client).json()["choices"][0]["message"]
    deltas = [part["choices"][0]["delta"] for part in chunks(post(client, stream=True))]
    for key in ("content", "reasoning", "reasoning_content"):
        assert "".join(delta.get(key, "") for delta in deltas) == message[key]


def test_a_hidden_trace_is_counted_but_not_sent(client):
    for stream in (False, True):
        response = post(client, include_reasoning=False, stream=stream)
        assert "Let me" not in response.text
        assert "reasoning_content" not in response.text
    usage = post(client, include_reasoning=False).json()["usage"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 3


def test_text_that_json_must_escape_arrives_whole(client):
    nasty = 'quote" back\\slash \u2028 emoji 🐍 <tag> \x07'
    response = client.post(
        "/v1/chat/completions", json=chat_body(stream=True, messages=[{"role": "user", "content": nasty}])
    )
    text = "".join(part["choices"][0]["delta"].get("content", "") for part in chunks(response))
    assert text.split() == nasty.split()


def test_an_error_before_the_first_token_is_a_status():
    def script(_request):
        yield EngineUnavailable("no engine today", retry_after=7)

    with app_running(ScriptedEngine(script)) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        for stream in (False, True):
            response = post(client, stream=stream)
            assert response.status_code == 503
            assert response.headers["retry-after"] == "7"
            assert response.json()["error"] == {
                "message": "no engine today",
                "type": "server_error",
                "param": None,
                "code": "engine_unavailable",
            }


def test_an_error_in_the_middle_is_a_frame_and_the_stream_does_not_look_complete():
    def script(_request):
        yield Accepted(1)
        yield TextDelta("half an ans")
        yield EngineUnavailable("the engine died")

    with app_running(ScriptedEngine(script)) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        text = post(client, stream=True).text
    assert '"content":"half an ans"' in text
    assert '{"error":{"message":"the engine died"' in text
    assert "[DONE]" not in text
    assert '"finish_reason":"stop"' not in text


def test_a_trace_cut_by_length_leaves_the_content_empty():
    def script(_request):
        yield from (Accepted(1), ReasoningDelta("hm"), Finished("length", 1, 5, reasoning_tokens=5))

    with app_running(ScriptedEngine(script)) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        choice = post(client).json()["choices"][0]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"] == ""
    assert choice["message"]["reasoning"] == "hm"


def test_a_client_that_leaves_a_stream_aborts_the_request():
    engine = ScriptedEngine(delay=0.05)
    with app_running(engine) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        long = chat_body(stream=True, messages=[{"role": "user", "content": "word " * 500}])
        with client.stream("POST", "/v1/chat/completions", json=long) as response:
            next(response.iter_lines())
        until(lambda: engine.aborted and not engine.running, "the engine's request is aborted", 1)


def test_a_client_that_leaves_while_it_waits_aborts_the_request():
    engine = ScriptedEngine(delay=0.05)
    with app_running(engine) as client:
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        long = chat_body(messages=[{"role": "user", "content": "word " * 500}])
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/chat/completions", json=long, timeout=0.3)
        until(lambda: engine.aborted and not engine.running, "the engine's request is aborted", 1)


def test_parameters_reach_the_engine(client, engine):
    post(
        client,
        temperature=0.5,
        top_p=0.9,
        top_k=7,
        seed=3,
        stop=["END"],
        max_completion_tokens=9,
        logit_bias={"5": -100},
        thinking={"type": "enabled", "budget_tokens": 12},
    )
    request = engine.requests[-1]
    assert (request.sampling.temperature, request.sampling.top_p, request.sampling.top_k) == (0.5, 0.9, 7)
    assert (request.sampling.seed, request.sampling.stop, request.sampling.max_tokens) == (3, ("END",), 9)
    assert request.sampling.logit_bias == {5: -100}
    assert (request.reasoning.enabled, request.reasoning.budget) == (True, 12)


def test_content_parts_are_joined(client):
    parts = [{"type": "text", "text": "four "}, {"type": "text", "text": "five"}]
    body = post(client, messages=[{"role": "user", "content": parts}]).json()
    assert body["choices"][0]["message"]["content"] == "four five"


def test_a_trace_in_an_earlier_turn_is_accepted(client):
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "reasoning_content": "c", "reasoning": "c"},
        {"role": "user", "content": "d"},
    ]
    assert post(client, messages=turns).status_code == 200
