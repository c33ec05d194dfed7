"""The checkers of bodies of Responses: right ones pass, and each kind of wrong one fails and says where."""

from typing import Any

import pytest

from tests.responses_schema import check_deleted, check_item_list, check_response, check_token_counts
from tests.unit.test_openai_schema import changed

TRACE = {"type": "reasoning_text", "text": "hm so"}
SUMMARY = {"type": "summary_text", "text": "hm so"}
TEXT = {"type": "output_text", "text": "yes", "annotations": [], "logprobs": []}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [TRACE], "status": "completed"}
MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "content": [TEXT], "status": "completed"}
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "f",
    "arguments": '{"a": 1}',
    "status": "completed",
}
USAGE = {
    "input_tokens": 5,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 12,
}
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": None}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 10,
    "completed_at": 11,
    "status": "completed",
    "background": False,
    "error": None,
    "frequency_penalty": 0,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "model": "m",
    "output": [REASONING, MESSAGE, CALL],
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [TOOL],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "usage": USAGE,
}
CUT = {**MESSAGE, "status": "incomplete"}
OPEN = {**MESSAGE, "status": "in_progress"}
ASKED = {"type": "message", "id": "msg_0", "role": "user", "content": [{"type": "input_text", "text": "?"}]}
ANSWERED = {"type": "function_call_output", "id": "fc_2", "call_id": "call_1", "output": "1", "status": "completed"}
ITEMS = {"object": "list", "data": [ASKED, MESSAGE], "first_id": "msg_0", "last_id": "msg_1", "has_more": False}


def with_status(status: str, output: list[Any], **fields: Any) -> dict[str, Any]:
    return {**RESPONSE, "status": status, "completed_at": None, "output": output, **fields}


INCOMPLETE = with_status("incomplete", [REASONING, CUT], incomplete_details={"reason": "max_output_tokens"})
FAILED = with_status("failed", [CUT], error={"code": "server_error", "message": "no"}, usage=None)


@pytest.mark.parametrize(
    "body",
    [
        RESPONSE,
        {**RESPONSE, "error": None, "stop_reason": "an extension"},
        changed(RESPONSE, "output.0", {**REASONING, "summary": [SUMMARY], "encrypted_content": "x"}),
        changed(RESPONSE, "output.0", {**REASONING, "content": [], "trace_sha256": "0"}),
        changed(RESPONSE, "tool_choice", {"type": "function", "name": "f"}),
        INCOMPLETE,
        FAILED,
        with_status("cancelled", [REASONING, CUT], usage=None),
        with_status("in_progress", [REASONING, OPEN], usage=None),
        with_status("queued", [], usage=None, background=True),
    ],
)
def test_right_responses_pass(body):
    check_response(body)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("background", ..., "^background: missing"),
        ("completed_at", ..., "^completed_at: missing"),
        ("model", ..., "'model' is a required property"),
        ("id", "chatcmpl-1", "^id: 'chatcmpl-1' does not begin with resp_"),
        ("object", "chat.completion", "^object: "),
        ("status", "done", "^status: "),
        ("metadata", None, "^metadata: null"),
        ("service_tier", None, "^service_tier: null"),
        ("truncation", None, "^truncation: null"),
        ("user", None, "^user: "),
        ("moderation", {"input": {}, "output": {}}, "^moderation: "),
        ("tools", [{"type": "web_search"}], r"^tools\[0\]"),
        ("tool_choice", {"type": "mcp", "server_label": "s"}, "^tool_choice"),
        ("completed_at", None, "^completed_at: None while status is completed"),
        ("completed_at", 9, "^completed_at: before"),
        ("error", {"code": "server_error", "message": "no"}, "^error: .* while status is completed"),
        ("incomplete_details", {"reason": "max_output_tokens"}, "^incomplete_details: .* while status is completed"),
        ("status", "failed", "^completed_at: 11 while status is failed"),
        ("usage", None, "^usage: null while status is completed"),
        ("usage.total_tokens", 13, "^usage.total_tokens: 13 instead of 12"),
        ("usage.input_tokens_details", ..., "^usage: 'input_tokens_details'"),
        ("usage.input_tokens_details.cached_tokens", 6, "cached_tokens: above"),
        ("usage.output_tokens_details.reasoning_tokens", 8, "reasoning_tokens: above"),
        ("output", [MESSAGE, REASONING], "^output: its order is message, reasoning"),
        ("output", [MESSAGE, {**MESSAGE, "id": "msg_2"}], "^output: 2 items of type message"),
        ("output", [CALL, {**CALL, "call_id": "call_2"}], "^output: id is not unique"),
        ("output", [CALL, {**CALL, "id": "fc_2"}], "^output: call_id is not unique"),
        ("output.0.type", "web_search_call", r"^output\[0\].type: 'web_search_call' is none of"),
        ("output.0.id", "msg_3", r"^output\[0\].id: does not begin with rs_"),
        ("output.0.status", ..., r"^output\[0\].status: missing"),
        ("output.0.summary", ..., r"^output\[0\]: 'summary' is a required"),
        ("output.0.summary", [{**SUMMARY, "text": "other"}], r"^output\[0\].summary: not the trace"),
        ("output.0.content", [TRACE, TRACE], r"^output\[0\].content: 2 parts"),
        ("output.0.content", [{**TRACE, "text": " "}], r"^output\[0\].content: no text"),
        ("output.0.encrypted_content", None, r"^output\[0\].encrypted_content: null"),
        ("output.1.status", "incomplete", r"^output\[1\].status: incomplete while the response is completed"),
        ("output.1.content.0.annotations", ..., r"^output\[1\].content\[0\]: 'annotations'"),
        ("output.1.content.0.annotations", [{"type": "file_path"}], r"^output\[1\].content\[0\].annotations"),
        ("output.1.content.0.logprobs", None, r"^output\[1\].content\[0\].logprobs"),
        ("output.1.content.0.type", "refusal", r"^output\[1\].content\[0\]"),
        ("output.2.arguments", "{", r"^output\[2\].arguments: not JSON"),
        ("output.2.arguments", "[]", r"^output\[2\].arguments: not an object"),
        ("output.2.call_id", ..., r"^output\[2\]: 'call_id'"),
    ],
)
def test_a_wrong_response_fails_and_says_where(path, value, says):
    with pytest.raises(AssertionError, match=says):
        check_response(changed(RESPONSE, path, value))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (changed(INCOMPLETE, "incomplete_details", None), "^incomplete_details: None while"),
        (changed(INCOMPLETE, "incomplete_details", {}), "^incomplete_details.reason: missing"),
        (changed(INCOMPLETE, "incomplete_details.reason", "length"), "^incomplete_details"),
        (changed(INCOMPLETE, "completed_at", 11), "^completed_at: 11 while"),
        (changed(INCOMPLETE, "output.0.status", "incomplete"), r"^output\[0\].status: incomplete while"),
        (changed(INCOMPLETE, "output.1.status", "in_progress"), r"^output\[1\].status: in_progress while"),
        (changed(INCOMPLETE, "usage", None), "^usage: null while"),
        (changed(FAILED, "error", None), "^error: None while"),
        (changed(FAILED, "error.code", "internal"), "^error"),
        (changed(FAILED, "output.0.status", "in_progress"), r"^output\[0\].status: in_progress while"),
        (with_status("queued", [MESSAGE]), "^output: not empty"),
        (with_status("queued", [], background=True, store=False), "^background: true without store"),
    ],
)
def test_a_wrong_status_fails_and_says_where(body, says):
    with pytest.raises(AssertionError, match=says):
        check_response(body)


@pytest.mark.parametrize(
    ("check", "body"),
    [
        (check_item_list, ITEMS),
        (check_item_list, {**ITEMS, "data": [], "first_id": None, "last_id": None}),
        (check_item_list, {**ITEMS, "data": [REASONING, CALL, ANSWERED], "first_id": "rs_1", "last_id": "fc_2"}),
        (check_deleted, {"id": "resp_1", "object": "response", "deleted": True}),
        (check_token_counts, {"object": "response.input_tokens", "input_tokens": 3}),
    ],
)
def test_right_other_bodies_pass(check, body):
    check(body)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("has_more", ..., "'has_more' is a required"),
        ("first_id", "msg_1", "^first_id, last_id"),
        ("data", [], "^first_id, last_id"),
        ("data", [ASKED, ASKED], "^data: ids are not unique"),
        ("data.0.id", ..., r"^data\[0\]"),
        ("data.0.content", "?", r"^data\[0\]"),
        ("data.0.content", [{"type": "input_image"}], r"^data\[0\]"),
        ("data.1.status", ..., r"^data\[1\]"),
        ("data.1", {"type": "item_reference", "id": "msg_1"}, r"^data\[1\]"),
        ("data.1", {**ANSWERED, "id": "msg_1", "call_id": ""}, r"^data\[1\].call_id: missing"),
    ],
)
def test_a_wrong_list_of_items_fails_and_says_where(path, value, says):
    with pytest.raises(AssertionError, match=says):
        check_item_list(changed(ITEMS, path, value))


@pytest.mark.parametrize(
    ("check", "body"),
    [
        (check_deleted, {"id": "resp_1", "object": "response.deleted", "deleted": True}),
        (check_deleted, {"id": "resp_1", "object": "response", "deleted": False}),
        (check_deleted, {"id": "x", "object": "response", "deleted": True}),
        (check_token_counts, {"object": "response.input_tokens"}),
        (check_token_counts, {"object": "response.input_tokens", "input_tokens": 0}),
    ],
)
def test_wrong_other_bodies_fail(check, body):
    with pytest.raises(AssertionError):
        check(body)
