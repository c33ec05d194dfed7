"""The checkers of bodies of Messages: right ones pass, and each kind of wrong one fails and says where."""

from typing import Any

import pytest

from tests.messages_schema import check_error, check_message, check_token_count
from tests.unit.test_openai_schema import changed

THINKING = {"type": "thinking", "thinking": "hm so", "signature": "c2ln"}
TEXT = {"type": "text", "text": "yes"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}
USAGE = {"input_tokens": 5, "output_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [THINKING, TEXT],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": USAGE,
}
CALLING = {**MESSAGE, "content": [THINKING, TEXT, CALL], "stop_reason": "tool_use"}
ERROR = {"type": "error", "error": {"type": "not_found_error", "message": "no"}, "request_id": "req_1"}


@pytest.mark.parametrize(
    ("check", "body"),
    [
        (check_message, MESSAGE),
        (check_message, CALLING),
        (check_message, {**MESSAGE, "content": []}),
        (check_message, {**MESSAGE, "content": [{**THINKING, "thinking": ""}, TEXT]}),
        (check_message, {**MESSAGE, "stop_reason": "stop_sequence", "stop_sequence": "."}),
        (check_message, {**CALLING, "stop_reason": "max_tokens"}),
        (check_token_count, {"input_tokens": 3}),
        (check_error, ERROR),
        (check_error, {"type": "error", "error": {"type": "request_too_large", "message": "no"}}),
    ],
)
def test_right_bodies_pass(check, body):
    check(body)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("id", ..., "^id: Field required"),
        ("id", "resp_1", "^id: 'resp_1' does not begin with msg_"),
        ("role", "user", "^role: "),
        ("type", "completion", "^type: "),
        ("stop_reason", ..., "^stop_reason: missing"),
        ("stop_sequence", ..., "^stop_sequence: missing"),
        ("stop_reason", "stop", "^stop_reason: "),
        ("stop_reason", None, "^stop_reason: null"),
        ("stop_reason", "tool_use", "^stop_reason: tool_use without a call"),
        ("stop_reason", "stop_sequence", "^stop_sequence: None"),
        ("stop_sequence", ".", "^stop_sequence: '.' with end_turn"),
        ("more", 1, "^more: unknown"),
        ("usage", ..., "^usage: Field required"),
        ("usage.input_tokens", "5", "^usage.input_tokens: "),
        ("usage.input_tokens", 5.0, "^usage.input_tokens: "),
        ("usage.total_tokens", 12, "^usage.total_tokens: unknown"),
        ("usage.cache_read_input_tokens", ..., "^usage.cache_read_input_tokens: None"),
        ("content.0.signature", ..., "^content.0.*signature: Field required"),
        ("content.0.signature", "", r"^content\[0\].signature: empty"),
        ("content.0.thinking", " ", r"^content\[0\].thinking: no text"),
        ("content.0.more", 1, r"^content\[0\].more: unknown"),
        ("content.1.text", "", r"^content\[1\].text: no text"),
        ("content.1.type", "output_text", "^content.1"),
        ("content", [TEXT, THINKING], "^content: its order is text, thinking"),
        ("content", [CALL], "^stop_reason: end_turn with a call"),
        ("content", [{**CALL, "input": "{}"}], "^content.0.*input: "),
        ("content", [{"type": "container_upload", "file_id": "f"}], "^content: its blocks are container_upload"),
    ],
)
def test_a_wrong_message_fails_and_says_where(path, value, says):
    with pytest.raises(AssertionError, match=says):
        check_message(changed(MESSAGE, path, value))


def test_calls_have_ids_of_their_own():
    with pytest.raises(AssertionError, match="ids of tool_use are not unique"):
        check_message({**CALLING, "content": [CALL, CALL]})


@pytest.mark.parametrize(
    ("check", "body"),
    [
        (check_token_count, {"input_tokens": 0}),
        (check_token_count, {"input_tokens": 3, "object": "count"}),
        (check_error, {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None}}),
        (check_error, changed(ERROR, "type", "message")),
        (check_error, changed(ERROR, "error.type", "server_error")),
        (check_error, changed(ERROR, "error.message", " ")),
        (check_error, changed(ERROR, "error.param", "x")),
    ],
)
def test_wrong_other_bodies_fail(check, body):
    with pytest.raises(AssertionError):
        check(body)
