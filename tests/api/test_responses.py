"""Making responses: whole, streamed, kept or not, and what they go on from."""

import json
from contextlib import suppress

import httpx
import pytest
from fathom.core.engine import Tokenized
from fathom.core.errors import EngineUnavailable
from fathom.core.events import Accepted, Finished, ReasoningDelta, TextDelta
from fathom.core.generation import Message, ToolCall
from fathom.engine.scripted_engine import ScriptedEngine

from tests.api import responses
from tests.api.responses import TOOL, URL, create, get, stream, text_of
from tests.running import app_running, until


def messages(engine: ScriptedEngine) -> tuple[Message, ...]:
    """What the engine was last asked."""
    return engine.requests[-1].prompt.messages


def test_a_response_has_trace_answer_and_usage(client):
    body = create(client)
    trace, message = body["output"]
    assert trace["content"] == [{"type": "reasoning_text", "text": "Let me think."}]
    assert text_of(body) == "one two three"
    assert (trace["status"], message["status"], body["status"]) == ("completed", "completed", "completed")
    assert body["usage"]["output_tokens_details"]["reasoning_tokens"] == 3


def test_a_stream_and_a_whole_response_say_the_same(client):
    streamed, whole = stream(client)[-1]["response"], create(client)
    for body in (streamed, whole):
        for item in body["output"]:
            del item["id"]
    assert streamed["output"] == whole["output"]
    assert streamed["usage"] == whole["usage"]


def test_text_that_json_must_escape_arrives_whole(client):
    nasty = 'quote" back\\slash \u2028 emoji 🐍 <tag> \x07'
    events = stream(client, input=nasty)
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert text.split() == nasty.split() == text_of(get(client, events[-1]["response"]["id"])).split()


def test_a_response_can_be_fetched_as_it_was(client):
    body = create(client, metadata={"a": "b"})
    assert get(client, body["id"]) == body


def test_a_streamed_response_can_be_fetched_as_it_was(client):
    body = stream(client)[-1]["response"]
    assert get(client, body["id"]) == body


@pytest.mark.parametrize("streamed", [False, True])
def test_a_response_that_is_not_to_be_stored_is_not(client, streamed):
    body = stream(client, store=False)[-1]["response"] if streamed else create(client, store=False)
    assert body["store"] is False
    assert client.get(f"{URL}/{body['id']}").status_code == 404


def test_instructions_and_items_reach_the_engine(client, engine):
    create(
        client,
        instructions="Be brief.",
        input=[
            {"role": "developer", "content": "Count."},
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "one "}, {"type": "input_text", "text": "two"}],
            },
        ],
    )
    assert messages(engine) == (
        Message("system", "Be brief."),
        Message("developer", "Count."),
        Message("user", "one two"),
    )


def test_a_conversation_goes_on_from_a_response(client, engine):
    first = create(client, input="one", instructions="Be brief.")
    second = create(client, input="two", previous_response_id=first["id"])
    create(client, input="three", previous_response_id=second["id"])
    assert second["previous_response_id"] == first["id"]
    trace = "Let me think."
    assert messages(engine) == (
        Message("user", "one"),
        Message("assistant", "one", reasoning=trace),
        Message("user", "two"),
        Message("assistant", "two", reasoning=trace),
        Message("user", "three"),
    )


def test_a_conversation_branches(client, engine):
    root = create(client, input="one")
    for word in ("left", "right"):
        create(client, input=word, previous_response_id=root["id"])
        assert [each.content for each in messages(engine)] == ["one", "one", word]


def test_a_response_that_is_not_stored_may_go_on_from_one_that_is(client, engine):
    create(client, input="two", previous_response_id=create(client, input="one")["id"], store=False)
    assert [each.content for each in messages(engine)] == ["one", "one", "two"]


def test_items_may_be_sent_by_their_ids(client, engine):
    first = create(client, input="one")
    given = [
        {"role": "user", "content": "one"},
        *({"type": "item_reference", "id": item["id"]} for item in first["output"]),
    ]
    body = create(client, input=[*given, {"role": "user", "content": "two"}], store=False)
    assert messages(engine)[1] == Message("assistant", "one", reasoning="Let me think.")
    assert text_of(body) == "two"


def test_an_output_may_be_sent_back_as_it_came(client, engine):
    first = create(client, input="one")
    create(client, input=[{"role": "user", "content": "one"}, *first["output"], {"role": "user", "content": "two"}])
    assert messages(engine)[1] == Message("assistant", "one", reasoning="Let me think.")


def test_a_sealed_trace_comes_back_to_the_engine(client, engine):
    first = create(client, input="one", store=False, include=["reasoning.encrypted_content"])
    sealed = first["output"][0]["encrypted_content"]
    assert "think" not in sealed
    item = {"type": "reasoning", "id": first["output"][0]["id"], "summary": [], "encrypted_content": sealed}
    create(
        client, input=[{"role": "user", "content": "one"}, item, first["output"][1], {"role": "user", "content": "two"}]
    )
    assert messages(engine)[1] == Message("assistant", "one", reasoning="Let me think.")


def test_a_tool_is_called_and_its_result_answered(client, engine):
    engine.script = responses.calls_a_tool
    first = create(client, tools=[TOOL], input="2+2?")
    call = first["output"][1]
    assert (call["call_id"], call["name"], json.loads(call["arguments"])) == ("call_1", "add", {"a": 2})
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "4"}
    second = create(client, tools=[TOOL], input=[result], previous_response_id=first["id"])
    assert text_of(second) == "It is 4."
    calls = (ToolCall("call_1", "add", call["arguments"]),)
    assert messages(engine)[1:] == (
        Message("assistant", "", reasoning="I should add.", tool_calls=calls),
        Message("tool", "4", tool_call_id="call_1"),
    )


def test_a_summary_is_the_trace_where_one_is_asked_for(client):
    assert create(client)["output"][0]["summary"] == []
    summary = create(client, reasoning={"summary": "auto"})["output"][0]["summary"]
    assert summary == [{"type": "summary_text", "text": "Let me think."}]


def test_a_hidden_trace_is_counted_and_not_sent(client):
    body = create(client, reasoning={"exclude": True})
    assert "think" not in json.dumps([body, get(client, body["id"]), stream(client, reasoning={"exclude": True})])
    assert body["usage"]["output_tokens_details"]["reasoning_tokens"] == 3


def test_a_response_that_was_cut_is_incomplete(client, engine):
    def cut(request):
        yield from (Accepted(7), ReasoningDelta("Hm"), Finished("length", 7, 3, 0, 3, trace_cut=True))

    engine.script = cut
    body = create(client, max_output_tokens=3)
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert [item["type"] for item in body["output"]] == ["reasoning"]
    assert get(client, body["id"]) == body


class ReadsAll(ScriptedEngine):
    """One token a character, of all messages."""

    async def tokenize(self, prompt, reasoning):
        text = "".join(message.content for message in prompt.messages)
        return Tokenized(tuple(map(ord, text)), text)


@pytest.mark.parametrize("background", [False, True])
def test_truncation_leaves_out_the_oldest_turns(background):
    with app_running(engine := ReadsAll()) as client:
        until(lambda: client.get("/readyz").status_code == 200, "the app is ready")
        turns = [{"role": "user", "content": word * 1500} for word in ("a", "b", "c", "d")]
        given = [{"role": "system", "content": "Count."}, *turns]
        body = create(client, input=given, truncation="auto", max_output_tokens=500, background=background)
        responses.wait_for(client, body["id"], "completed")
        assert [each.content[0] for each in messages(engine)] == ["C", "c", "d"]
        listed = client.get(f"{URL}/{body['id']}/input_items").json()["data"]
        assert len(listed) == 5


def test_a_conversation_that_is_too_long_is_not_cut_unasked():
    with app_running(ReadsAll()) as client:
        until(lambda: client.get("/readyz").status_code == 200, "the app is ready")
        body = {"model": "scripted", "input": "x" * 5000, "background": True}
        answer = client.post(URL, json=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "context_length_exceeded"


def breaks(request):
    yield from (Accepted(7), TextDelta("half"), EngineUnavailable("The engine died.", retry_after=1))


@pytest.mark.parametrize("store", [True, False])
def test_a_stream_that_breaks_ends_as_failed(client, engine, store):
    engine.script = breaks
    final = stream(client, store=store)[-1]
    assert final["type"] == "response.failed"
    assert final["response"]["error"] == {"code": "server_error", "message": "The engine died."}
    if store:
        assert get(client, final["response"]["id"]) == final["response"]


@pytest.mark.parametrize("store", [True, False])
def test_a_whole_response_that_breaks_is_an_error(client, engine, store):
    engine.script = breaks
    answer = client.post(URL, json={"model": "scripted", "input": "x", "store": store})
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "engine_unavailable"


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_leaves_ends_its_request(client, engine, store, streamed):
    engine.script, engine.delay = responses.never_ends, 0.02
    body = {"model": "scripted", "input": "x", "stream": streamed, "store": store}
    with suppress(httpx.ReadTimeout), client.stream("POST", URL, json=body, timeout=0.5) as answer:
        next(answer.iter_bytes())
    until(lambda: engine.aborted, "the engine has let go of it")


def test_a_stored_response_whose_client_left_is_cancelled(client, engine):
    engine.script, engine.delay = responses.never_ends, 0.02
    with client.stream("POST", URL, json={"model": "scripted", "input": "x", "stream": True}) as answer:
        lines = answer.iter_lines()
        created = json.loads(next(line for line in lines if line.startswith("data: ")).removeprefix("data: "))
        next(line for line in lines if "output_text.delta" in line)
    body = responses.wait_for(client, created["response"]["id"], "cancelled")
    assert body["output"][-1]["status"] == "incomplete"


def test_unknown_fields_are_ignored_and_named(client):
    for streamed in (False, True):
        body = {"model": "scripted", "input": [{"role": "user", "content": "x", "mood": 1}], "colour": "red"}
        answer = client.post(URL, json={**body, "stream": streamed})
        assert answer.headers["x-fathom-ignored-params"] == "colour, input.0.mood"


def test_tokens_are_counted_as_they_would_be_read(client):
    first = create(client, input="one")
    body = {"model": "scripted", "input": "four", "previous_response_id": first["id"], "instructions": "Be brief."}
    assert client.post(f"{URL}/input_tokens", json=body).json() == {
        "object": "response.input_tokens",
        "input_tokens": 4,
    }
