"""The checkers of streams of Messages: right ones pass, and each kind of wrong one fails and says where."""

from typing import Any

import pytest

from tests.messages_stream import check_stream, joined
from tests.unit.test_messages_schema import CALL, CALLING, ERROR, MESSAGE, TEXT, THINKING, USAGE
from tests.unit.test_openai_schema import changed

Events = list[dict[str, Any]]


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> Events:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def pieces(kind: str, field: str, *texts: str) -> Events:
    return [{"type": kind, field: text} for text in texts]


def stream(*blocks: Events, stop_reason: str = "tool_use") -> Events:
    opened = {**MESSAGE, "content": [], "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
    last = {"stop_reason": stop_reason, "stop_sequence": None}
    return [
        {"type": "message_start", "message": opened},
        *(event for block in blocks for event in block),
        {"type": "message_delta", "delta": last, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]


SIGNED = {"type": "signature_delta", "signature": "c2ln"}
THOUGHT = block(
    0,
    {"type": "thinking", "thinking": "", "signature": ""},
    *pieces("thinking_delta", "thinking", "hm", " so"),
    SIGNED,
)
ANSWER = block(1, {"type": "text", "text": ""}, *pieces("text_delta", "text", "ye", "s"))
CALLED = block(2, {**CALL, "input": {}}, *pieces("input_json_delta", "partial_json", '{"a":', " 1}"))
RIGHT = stream(THOUGHT, ANSWER, CALLED)
PING = {"type": "ping"}


def test_a_stream_is_joined_to_the_whole_message():
    assert joined(RIGHT) == CALLING


@pytest.mark.parametrize(
    "events",
    [
        RIGHT,
        [RIGHT[0], PING, *RIGHT[1:], PING],
        stream(stop_reason="end_turn"),
        stream(block(0, {**CALL, "input": {}})),
        stream(CALLED[:0], block(0, {**CALL, "input": {}}, CALLED[1]["delta"]), stop_reason="max_tokens"),
        [*RIGHT[:4], ERROR],
    ],
)
def test_right_streams_pass(events):
    check_stream(events)


def without(number: int) -> Events:
    return RIGHT[:number] + RIGHT[number + 1 :]


def altered(number: int, path: str, value: Any = ...) -> Events:
    return [*RIGHT[:number], changed(RIGHT[number], path, value), *RIGHT[number + 1 :]]


# In RIGHT: 0 start, 1-5 thinking (4 its signature), 6-9 text, 10-13 the call, 14 message_delta, 15 message_stop.
@pytest.mark.parametrize(
    ("events", "says"),
    [
        ([PING], "no events"),
        (RIGHT[1:], "begins with content_block_start"),
        (RIGHT[:-1], "ends on content_block_stop, message_delta"),
        (without(14), "ends on content_block_stop, message_stop"),
        ([*RIGHT[:-1], RIGHT[14], RIGHT[15]], "message_delta : of no open block"),
        ([RIGHT[0], *RIGHT], "message_start : of no open block"),
        ([*RIGHT, RIGHT[15]], "ends on message_stop, message_stop"),
        (altered(0, "message.content", [TEXT]), "its content is not empty"),
        (altered(0, "message.stop_reason", "end_turn"), "has a stop_reason"),
        (altered(0, "message.usage.input_tokens", 0), "not the real ones"),
        (altered(0, "message.stop_sequence", ...), "^stop_sequence: missing"),
        (altered(1, "content_block", THINKING), "opened with"),
        (altered(1, "content_block.signature", ...), "signature: Field required"),
        (altered(1, "index", 1), "content_block_start 1: out of order"),
        (altered(2, "index", 1), "content_block_delta 1: of a block that is not open"),
        (altered(2, "delta", {"type": "text_delta", "text": "hm"}), "text_delta, .* in a block of thinking"),
        (altered(2, "delta.more", 1), "^delta.more: unknown"),
        (without(4), "0 signatures"),
        (altered(3, "delta", SIGNED), "2 signatures"),
        ([*RIGHT[:3], RIGHT[4], RIGHT[3], *RIGHT[5:]], "its signature is not its last delta"),
        (altered(4, "delta.signature", ""), "signature: empty"),
        (without(5), "begins while another block is open"),
        (without(6), "of no open block"),
        (without(13), "ends while a block is open"),
        ([*RIGHT[:7], *RIGHT[9:]], "no text in it"),
        (altered(10, "content_block.input", {"a": 1}), "opened with"),
        (without(12), "its input is not JSON"),
        (altered(14, "delta.stop_reason", "end_turn"), "^stop_reason: end_turn with a call"),
        (altered(14, "delta.stop_reason", "length"), "delta.stop_reason: "),
        (altered(14, "usage", {}), "usage.output_tokens: Field required"),
        ([*RIGHT[:4], changed(ERROR, "error.type", "server_error")], "error"),
        ([*RIGHT[:4], {"type": "other"}, *RIGHT[4:]], "type: "),
    ],
)
def test_wrong_streams_fail_and_say_where(events, says):
    with pytest.raises(AssertionError, match=says):
        check_stream(events)
