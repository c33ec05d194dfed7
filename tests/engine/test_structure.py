"""Answers that follow a schema, a pattern or a grammar, with and without a trace before them."""

import concurrent.futures
import json
import re
import time

import jsonschema
import pytest

from tests.engine.test_chat_choices import complete, stream
from tests.running import Server

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "pets": {"type": "array", "maxItems": 2, "items": {"enum": ["cat", "dog"]}},
    },
    "required": ["name", "age", "pets"],
    "additionalProperties": False,
}
USER = {"role": "user", "content": "Anna is 33 years old and has a cat. Describe her."}
THINKING = [{"enable_thinking": False}, {"thinking_budget": 12}]


def as_format(schema: object) -> dict:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}


def content(server: Server, **fields: object) -> str:
    choice = complete(server, USER, max_tokens=200, **fields)["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert ("reasoning" in choice["message"]) is ("thinking_budget" in fields)
    return choice["message"]["content"]


@pytest.mark.parametrize("thinking", THINKING)
def test_an_answer_follows_its_schema_behind_the_trace(server: Server, thinking: dict):
    jsonschema.validate(json.loads(content(server, response_format=as_format(PERSON), **thinking)), PERSON)


@pytest.mark.parametrize("thinking", THINKING)
def test_an_answer_matches_its_pattern(server: Server, thinking: dict):
    pattern = r"[0-9]{3}-[a-f]{4}"
    assert re.fullmatch(pattern, content(server, structured_outputs={"regex": pattern}, **thinking))


@pytest.mark.parametrize("thinking", THINKING)
def test_an_answer_is_one_of_the_choices(server: Server, thinking: dict):
    choices = ["a cat person", "a dog person"]
    assert content(server, structured_outputs={"choice": choices}, **thinking) in choices


def test_an_answer_is_a_sentence_of_its_grammar(server: Server):
    grammar = 'root ::= "SELECT " column " FROM people"\ncolumn ::= "name" | "age"'
    answer = content(server, structured_outputs={"grammar": grammar}, enable_thinking=False)
    assert answer in ("SELECT name FROM people", "SELECT age FROM people")


def test_an_answer_follows_a_structural_tag(server: Server):
    tag = {
        "format": {"type": "tag", "begin": "<n>", "content": {"type": "regex", "pattern": "[0-9]{3}"}, "end": "</n>"}
    }
    answer = content(server, structured_outputs={"structural_tag": tag}, enable_thinking=False)
    assert re.fullmatch(r"<n>[0-9]{3}</n>", answer)


def test_an_answer_is_a_json_object(server: Server):
    body = complete(server, USER, response_format={"type": "json_object"}, max_tokens=60, enable_thinking=False)
    choice = body["choices"][0]
    if choice["finish_reason"] == "stop":
        assert isinstance(json.loads(choice["message"]["content"]), dict)
    else:
        assert choice["message"]["content"].startswith("{")


@pytest.mark.parametrize("thinking", THINKING)
def test_a_stream_says_the_same_and_no_trace_is_in_the_content(server: Server, thinking: dict):
    fields = {"response_format": as_format(PERSON), "max_tokens": 200, **thinking}
    text = ""
    for chunk in stream(server, USER["content"], **fields):
        text += chunk["choices"][0]["delta"].get("content", "")
    assert text == complete(server, USER, **fields)["choices"][0]["message"]["content"]
    jsonschema.validate(json.loads(text), PERSON)


def test_the_budget_holds_before_a_grammar_too(server: Server):
    usage = complete(server, USER, structured_outputs={"choice": ["yes"]}, thinking_budget=10, max_tokens=60)["usage"]
    delimiter = 10  # at most: the model may spell it letter by letter
    assert 10 < usage["completion_tokens_details"]["reasoning_tokens"] <= 10 + delimiter


def test_with_tools_the_answer_is_a_call_or_follows_the_schema(server: Server):
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": PERSON}}]
    body = complete(server, USER, tools=tools, response_format=as_format(PERSON), max_tokens=300, enable_thinking=False)
    message = body["choices"][0]["message"]
    answer = message["tool_calls"][0]["function"]["arguments"] if message.get("tool_calls") else message["content"]
    jsonschema.validate(json.loads(answer), PERSON)


def test_completions_can_be_structured_too(server: Server):
    body = {"model": "smollm2-135m", "prompt": "The answer is ", "structured_outputs": {"regex": "[0-9]{4}"}}
    response = server.client.post("/v1/completions", json=body)
    assert re.fullmatch("[0-9]{4}", response.json()["choices"][0]["text"])


BAD = [
    ({"structured_outputs": {"regex": "(a+"}}, "structured_outputs.regex"),
    ({"structured_outputs": {"regex": "((a{1,900}){1,900}){1,900}"}}, "structured_outputs.regex"),
    ({"structured_outputs": {"grammar": "root ::= "}}, "structured_outputs.grammar"),
    ({"response_format": as_format({"type": "strin"})}, "response_format.json_schema.schema"),
    ({"response_format": as_format({"type": "array", "uniqueItems": True})}, "response_format.json_schema.schema"),
    ({"response_format": as_format({"$ref": "http://127.0.0.1:9/x"})}, "response_format.json_schema.schema"),
]


@pytest.mark.parametrize(("fields", "param"), BAD)
def test_what_is_no_grammar_or_too_much_of_one_is_refused_in_time(server: Server, fields: dict, param: str):
    began = time.monotonic()
    response = server.client.post("/v1/chat/completions", json={"model": "smollm2-135m", "messages": [USER], **fields})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param
    assert time.monotonic() - began < 20  # on a busy machine; the limit itself is 5 s


def test_a_pathological_pattern_does_not_disturb_others(server: Server):
    def ask(at: int) -> int:
        bad = {"regex": "((a{1,900}){1,900}){1," + str(900 + at) + "}"}
        body = {"model": "smollm2-135m", "messages": [USER], "structured_outputs": bad}
        return server.client.post("/v1/chat/completions", json=body).status_code

    alone = server.chat("Why is the sky blue?", max_tokens=40)["choices"][0]["message"]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(ask, at) for at in range(3)]
        beside = server.chat("Why is the sky blue?", max_tokens=40)["choices"][0]["message"]
        assert {each.result() for each in asked} <= {400, 503}
    assert beside == alone
    assert server.client.get("/readyz").status_code == 200
