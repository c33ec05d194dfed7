"""The checkers of streams: a right stream passes, and each kind of wrong one fails and says where."""

import json
from copy import deepcopy
from typing import Any

import pytest

from tests.openai_stream import check_stream, check_text_stream, joined, read_events
from tests.unit.test_openai_schema import CALL, HEAD, USAGE

OPENING = {"role": "assistant", "content": ""}
NAMED = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}


def chunk(delta: dict[str, Any], finish_reason: str | None = None, index: int = 0) -> dict[str, Any]:
    step = {"index": index, "delta": delta, "finish_reason": finish_reason}
    return {**HEAD, "object": "chat.completion.chunk", "choices": [step]}


def stream(*deltas: dict[str, Any], finish_reason: str = "stop") -> list[dict[str, Any]]:
    return [chunk(OPENING), *map(chunk, deltas), chunk({}, finish_reason)]


def thought(text: str) -> dict[str, Any]:
    return {"reasoning_content": text, "reasoning": text}


def arguments(text: str, index: int = 0) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}


RIGHT = stream(thought("hm"), thought(" so"), {"content": "y"}, {"content": "es"})
CALLING = stream(
    thought("hm"), {"tool_calls": [NAMED]}, arguments('{"a":'), arguments(" 1}"), finish_reason="tool_calls"
)


def with_usage(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*({**each, "usage": None} for each in chunks), {**chunks[-1], "choices": [], "usage": USAGE}]


@pytest.mark.parametrize("chunks", [RIGHT, CALLING, with_usage(RIGHT)])
def test_right_streams_pass(chunks):
    check_stream(chunks)


def test_choices_may_be_interleaved():
    other = [chunk(delta, reason, 1) for delta, reason in ((OPENING, None), ({"content": "b"}, None), ({}, "length"))]
    chunks = [RIGHT[0], other[0], *RIGHT[1:], *other[1:]]
    check_stream(chunks)
    assert [choice["finish_reason"] for choice in joined(chunks)] == ["stop", "length"]


def test_a_stream_is_joined_to_the_shape_of_a_whole_completion():
    message = joined(RIGHT)[0]["message"]
    assert message == {"role": "assistant", "content": "yes", "refusal": None} | thought("hm so")
    calling = joined(CALLING)[0]
    assert calling["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [CALL],
    } | thought("hm")
    assert calling["finish_reason"] == "tool_calls"


def without(chunks: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    return chunks[:number] + chunks[number + 1 :]


def other_id(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*deepcopy(chunks[:-1]), {**chunks[-1], "id": "other"}]


@pytest.mark.parametrize(
    ("chunks", "says"),
    [
        ([], "no chunks"),
        (without(RIGHT, 0), "begins with"),
        (without(RIGHT, len(RIGHT) - 1), "no finish_reason"),
        ([*RIGHT, chunk({"content": "more"})], "no finish_reason at its end"),
        ([*RIGHT, chunk({}, "stop")], "goes on behind"),
        (stream({"role": "assistant", "content": "y"}), "says its role again"),
        (stream({"content": "y", **thought("hm")}), "shares a chunk"),
        (stream(thought("\n")), "no text in it"),
        (other_id(RIGHT), "^id: changes"),
        ([*with_usage(RIGHT)[:-1], RIGHT[-1]], "usage: in some chunks only"),
        (with_usage(RIGHT)[:-1], "usage: missing from the last"),
        ([RIGHT[0], {**RIGHT[0], "choices": []}, *RIGHT[1:]], "choices: empty in chunks"),
        (stream(arguments("{}"), finish_reason="tool_calls"), "tool_calls.0.: opens with"),
        (stream(arguments("{}", 1), finish_reason="tool_calls"), "out of order"),
        (stream({"tool_calls": [NAMED]}, {"tool_calls": [NAMED]}), "a later piece has"),
        (stream({"tool_calls": [NAMED]}, arguments("{"), finish_reason="tool_calls"), "arguments: not JSON"),
        (stream({"tool_calls": [NAMED]}, arguments("{}")), "finish_reason is 'stop' with 1 calls"),
        (stream({"content": "y"}, finish_reason="tool_calls"), "finish_reason is 'tool_calls' with 0 calls"),
    ],
)
def test_wrong_streams_fail_and_say_where(chunks, says):
    with pytest.raises(AssertionError, match=says):
        check_stream(chunks)


def text_chunk(text: str, finish_reason: str | None = None) -> dict[str, Any]:
    step = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}
    return {**HEAD, "object": "text_completion", "choices": [step]}


def test_a_legacy_stream_ends_once():
    right = [text_chunk("a"), text_chunk("b"), text_chunk("", "stop")]
    check_text_stream(right)
    check_text_stream(with_usage(right))
    with pytest.raises(AssertionError, match="no finish_reason"):
        check_text_stream(right[:-1])
    with pytest.raises(AssertionError, match="goes on behind"):
        check_text_stream([*right, text_chunk("", "stop")])


def events(*data: str) -> str:
    return "".join(f"data: {each}\n\n" for each in data)


def test_events_are_read_past_comments():
    chunks = [json.dumps(each) for each in RIGHT]
    text = ": keep-alive\n\n" + events(chunks[0]) + ": keep-alive\n\n" + events(*chunks[1:], "[DONE]")
    assert read_events(text) == RIGHT


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (events("{}"), "instead of .DONE."),
        (events("[DONE]", "{}"), "instead of .DONE."),
        (events("{}", "[DONE]", "[DONE]"), "comes 2 times"),
        (events("{}", "[DONE]")[:-1], "ends inside a frame"),
        ("event: x\ndata: {}\n\n" + events("[DONE]"), "neither a data frame"),
        (": keep-alive\n\n", "no frames"),
        (events("{}", '{"error": {}}'), "instead of .DONE."),
    ],
)
def test_wrong_events_fail(text, says):
    with pytest.raises(AssertionError, match=says):
        read_events(text)
