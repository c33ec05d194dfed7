"""The checkers of response bodies: right bodies pass, and each kind of wrong one fails and says where."""

import base64
import json
import struct
from copy import deepcopy
from typing import Any

import pytest

from tests.openai_schema import (
    check_chunk,
    check_completion,
    check_embeddings,
    check_error,
    check_models,
    check_text_chunk,
    check_text_completion,
)
from tests.schemas.generate import ROOTS, SENT, TARGET, closure

TOP = {"token": "a", "logprob": -0.5, "bytes": [97]}
USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 7,
    "total_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 3},
    "prompt_cache_hit_tokens": 4,
    "prompt_cache_miss_tokens": 1,
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
MESSAGE = {"role": "assistant", "content": "y", "refusal": None, "reasoning_content": "x", "reasoning": "x"}
CHOICE = {"index": 0, "finish_reason": "stop", "logprobs": None, "message": MESSAGE}
HEAD = {"id": "chatcmpl-1", "created": 1, "model": "m"}
COMPLETION = {**HEAD, "object": "chat.completion", "choices": [CHOICE], "usage": USAGE}
STEP = {"index": 0, "finish_reason": None, "delta": {"reasoning_content": "x", "reasoning": "x"}}
CHUNK = {**HEAD, "object": "chat.completion.chunk", "choices": [STEP]}
COLUMNS = {
    "tokens": ["a", "b"],
    "token_logprobs": [None, -1.0],
    "top_logprobs": [None, {"b": -1.0}],
    "text_offset": [0, 1],
}
TEXT_CHOICE = {"index": 0, "finish_reason": "stop", "logprobs": COLUMNS, "text": "ab"}
TEXT = {**HEAD, "object": "text_completion", "choices": [TEXT_CHOICE], "usage": USAGE}
VECTOR = {"object": "embedding", "index": 0, "embedding": [0.5, 0.5]}
EMBEDDINGS = {"object": "list", "model": "m", "data": [VECTOR], "usage": {"prompt_tokens": 2, "total_tokens": 2}}
ERROR = {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None}}
MODELS = {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "us"}]}


def changed(body: dict[str, Any], path: str, value: Any = ...) -> dict[str, Any]:
    """A copy with the field at `path` set to `value`, or without it."""
    body = deepcopy(body)
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    holder: Any = body
    for part in parents:
        holder = holder[part]
    if value is ...:
        del holder[last]
    else:
        holder[last] = value
    return body


@pytest.mark.parametrize(
    ("check", "body"),
    [
        (check_completion, COMPLETION),
        (check_completion, changed(COMPLETION, "stop_reason", "an extension")),
        (check_chunk, CHUNK),
        (check_chunk, {**CHUNK, "usage": None}),
        (check_chunk, {**CHUNK, "choices": [], "usage": USAGE}),
        (check_text_completion, TEXT),
        (check_text_chunk, changed(TEXT, "choices.0.finish_reason", None)),
        (check_text_chunk, {**TEXT, "usage": None}),
        (check_embeddings, EMBEDDINGS),
        (
            check_embeddings,
            changed(EMBEDDINGS, "data.0.embedding", base64.b64encode(struct.pack("<2f", 0.5, 0.5)).decode()),
        ),
        (check_error, ERROR),
        (check_models, MODELS),
    ],
)
def test_right_bodies_pass(check, body):
    check(body)


def test_a_call_and_logprobs_pass():
    body = changed(COMPLETION, "choices.0.finish_reason", "tool_calls")
    body["choices"][0]["message"] |= {"content": None, "tool_calls": [CALL]}
    body["choices"][0]["logprobs"] = {"content": [{**TOP, "top_logprobs": [TOP]}], "refusal": None}
    check_completion(body)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("id", ..., "'id' is a required property"),
        ("object", "text_completion", r"^object: "),
        ("choices.0.logprobs", ..., r"^choices\[0\]: 'logprobs'"),
        ("choices.0.index", 1, "^choices: their indices"),
        ("choices.0.finish_reason", "abort", r"^choices\[0\].finish_reason"),
        ("choices.0.finish_reason", "tool_calls", r"^choices\[0\].message.tool_calls: finish_reason"),
        ("choices.0.message.refusal", ..., r"^choices\[0\].message: 'refusal'"),
        ("choices.0.message.content", None, r"^choices\[0\].message.content: null"),
        ("choices.0.message.tool_calls", [], r"^choices\[0\].message.tool_calls: empty"),
        ("choices.0.message.annotations", None, r"^choices\[0\].message.annotations"),
        ("choices.0.message.audio", None, r"^choices\[0\].message.audio: null"),
        ("choices.0.message.reasoning", "other", r"^choices\[0\].message: the trace differs"),
        ("choices.0.message.reasoning", ..., r"^choices\[0\].message: the trace is in"),
        ("service_tier", None, "^service_tier: null"),
        ("usage", ..., "^usage: missing"),
        ("usage.total_tokens", 13, "^usage.total_tokens"),
        ("usage.prompt_tokens_details", ..., "cached_tokens: missing"),
        ("usage.prompt_cache_miss_tokens", 2, "^usage.prompt_cache_miss_tokens"),
        ("usage.completion_tokens_details.reasoning_tokens", 8, "reasoning_tokens: above"),
    ],
)
def test_a_wrong_completion_fails_and_says_where(path, value, says):
    with pytest.raises(AssertionError, match=says):
        check_completion(changed(COMPLETION, path, value))


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("choices.0.delta.content", "y", "shares a chunk with content"),
        ("choices.0.delta.role", "assistant", "shares a chunk with role"),
        ("choices.0.finish_reason", "stop", "not empty beside a finish_reason"),
        ("choices.0.delta", {"reasoning_content": " ", "reasoning": " "}, "no text in it"),
        ("choices.0.delta.reasoning", None, "delta.reasoning: null"),
        ("choices.0.delta", {"content": None}, "delta.content: null"),
        ("usage", USAGE, "not empty beside usage"),
        ("object", "chat.completion", "^object: "),
    ],
)
def test_a_wrong_chunk_fails_and_says_where(path, value, says):
    with pytest.raises(AssertionError, match=says):
        check_chunk(changed(CHUNK, path, value))


@pytest.mark.parametrize("trace", [("reasoning",), ()])
def test_other_settings_of_the_traces_fields_are_checked_too(trace):
    message = {name: text for name, text in MESSAGE.items() if not name.startswith("reasoning") or name in trace}
    check_completion(changed(COMPLETION, "choices.0.message", message), trace=trace)
    with pytest.raises(AssertionError, match="the trace is in"):
        check_completion(COMPLETION, trace=trace)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"function": {"name": "f", "arguments": '{"a": '}}, "arguments: not JSON"),
        ({"function": {"name": "f", "arguments": "1"}}, "arguments: not an object"),
        ({"type": "tool"}, r"tool_calls\[0\]"),
        ({"id": None}, r"tool_calls\[0\].*id"),
    ],
)
def test_a_wrong_call_fails_and_says_where(change, says):
    body = changed(COMPLETION, "choices.0.finish_reason", "tool_calls")
    body["choices"][0]["message"]["tool_calls"] = [{**CALL, **change}]
    with pytest.raises(AssertionError, match=says):
        check_completion(body)


@pytest.mark.parametrize(
    ("check", "body", "path", "value", "says"),
    [
        (check_text_completion, TEXT, "choices.0.finish_reason", None, "finish_reason"),
        (check_text_completion, TEXT, "choices.0.text", ..., "'text' is a required"),
        (check_text_completion, TEXT, "choices.0.logprobs.token_logprobs", [-1.0, None], "token_logprobs"),
        (check_text_completion, TEXT, "choices.0.logprobs.tokens", ["a"], "columns of different lengths"),
        (check_text_completion, TEXT, "usage.total_tokens", 1, "^usage.total_tokens"),
        (check_text_chunk, TEXT, "choices.0.finish_reason", "tool_calls", "finish_reason"),
        (check_embeddings, EMBEDDINGS, "data.0.embedding", "!", "not base64"),
        (check_embeddings, EMBEDDINGS, "data.0.embedding", "AAA=", "not 32-bit floats"),
        (check_embeddings, EMBEDDINGS, "data.0.embedding", ["1"], r"data\[0\].embedding"),
        (check_embeddings, EMBEDDINGS, "data.0.index", 1, "^data: their indices"),
        (check_error, ERROR, "error.param", ..., "^error: 'param'"),
        (check_error, ERROR, "error.more", 1, "its keys are code, message, more"),
        (check_error, ERROR, "error.message", " ", "^error.message: empty"),
        (check_models, MODELS, "data.0.owned_by", ..., r"data\[0\]: 'owned_by'"),
        (check_models, MODELS, "data.0.parent", None, r"data\[0\].parent: null"),
    ],
)
def test_other_wrong_bodies_fail_and_say_where(check, body, path, value, says):
    with pytest.raises(AssertionError, match=says):
        check(changed(body, path, value))


def test_the_generator_keeps_structure_and_leaves_texts_out():
    schema = {
        "description": "text",
        "x-oaiMeta": {"$ref": "elsewhere"},
        "properties": {
            "description": {"type": "string", "example": "text"},
            "part": {"$ref": "#/components/schemas/Part", "nullable": True},
        },
        "additionalProperties": False,
    }
    schemas = {name: {"type": "object"} for name in ROOTS} | {"Model": schema, "Part": {"oneOf": [{"enum": ["a"]}]}}
    found = closure({"components": {"schemas": schemas}})
    part = {"anyOf": [{"$ref": "#/$defs/Part"}, {"type": "null"}]}
    assert found["Model"] == {"properties": {"description": {"type": "string"}, "part": part}}
    assert found["Part"] == {"anyOf": [{"enum": ["a"]}]}
    assert "text" not in json.dumps(found)


def test_the_generator_keeps_only_what_is_sent():
    def to(name):
        return {"$ref": f"#/components/schemas/{name}"}

    tool = {"oneOf": [to("FunctionTool"), to("WebSearchTool")]}
    model = {"allOf": [to("Tool"), {"properties": {"prompt": to("Prompt")}}]}
    schemas = {name: {"type": "object"} for name in (*ROOTS, "FunctionTool")} | {"Tool": tool, "Model": model}
    found = closure({"components": {"schemas": schemas}})
    assert found["Tool"] == {"anyOf": [{"$ref": "#/$defs/FunctionTool"}]}
    assert found["Model"] == {"allOf": [{"$ref": "#/$defs/Tool"}, {"properties": {"prompt": False}}]}
    assert found.keys() == {*ROOTS, "FunctionTool", "Tool"}


def test_every_kind_that_is_sent_is_in_the_published_schemas():
    definitions = json.loads(TARGET.read_text())["$defs"]
    for union, names in SENT.items():
        assert {branch["$ref"].rpartition("/")[2] for branch in definitions[union]["anyOf"]} == names
