"""Checks of whole bodies of OpenAI's Responses: the published schemas, and what clients rely on beyond them."""

from tests.openai_schema import check_arguments
from tests.schemas.published import Json, branches, numbered, validate

PRESENT = {
    "background",
    "frequency_penalty",
    "metadata",
    "parallel_tool_calls",
    "presence_penalty",
    "service_tier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
}
PRESENT_OR_NULL = {
    "completed_at",
    "error",
    "incomplete_details",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "previous_response_id",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "usage",
}
NULLABLE = PRESENT_OR_NULL - {"usage"} | {
    "reasoning.effort",
    "reasoning.summary",
    "text.format.strict",
    "tools.parameters",
    "tools.strict",
}
# What explains a status: there with it, and null with every other.
REASONS = {"completed_at": "completed", "incomplete_details": "incomplete", "error": "failed"}
UNFINISHED = {"queued", "in_progress"}
ORDER = ("reasoning", "message", "function_call")
PREFIXES = {"reasoning": "rs_", "message": "msg_", "function_call": "fc_"}


def check_response(body: Json) -> None:
    for name in sorted(PRESENT | PRESENT_OR_NULL):
        assert name in body, f"{name}: missing"
    for path, item in numbered(body.get("output", []), "output"):
        check_item(item, path)
    validate("Response", published(body), NULLABLE)
    assert body["id"].startswith("resp_"), f"id: {body['id']!r} does not begin with resp_"
    assert not (body["background"] and not body["store"]), "background: true without store"
    _check_status(body)
    _check_order(body["output"], body["status"])
    _check_usage(body["usage"])


def published(body: Json) -> Json:
    """Without what OpenAI's API sends though its schema does not know it: a null for usage that is not known yet."""
    return body if body.get("usage") else {name: each for name, each in body.items() if name != "usage"}


def check_item(item: Json, path: str = "item") -> None:
    """An item of an output, begun or done."""
    schemas = branches("OutputItem")
    kind = item.get("type", "")
    assert kind in schemas, f"{path}.type: {kind!r} is none of {', '.join(sorted(schemas))}"
    validate(schemas[kind], item, set(), path)
    assert "status" in item, f"{path}.status: missing"
    assert item.get("id", "").startswith(PREFIXES[kind]), f"{path}.id: does not begin with {PREFIXES[kind]}"
    if kind == "function_call" and item["status"] == "completed":
        check_arguments(item["arguments"], f"{path}.arguments")
    if kind == "reasoning":
        _check_reasoning(item, path)


def check_item_list(body: Json) -> None:
    """A page of input items. An empty one has no ids to tell."""
    validate("ResponseItemList", body if body.get("data") else {**body, "first_id": "", "last_id": ""}, set())
    ids = [item["id"] for item in body["data"]]
    assert len(set(ids)) == len(ids), "data: ids are not unique"
    ends = (ids[0], ids[-1]) if ids else (None, None)
    assert (body.get("first_id"), body.get("last_id")) == ends, f"first_id, last_id: not {ends}"
    for path, item in numbered(body["data"], "data"):
        assert item["type"] != "function_call_output" or item.get("call_id"), f"{path}.call_id: missing"


def check_deleted(body: Json) -> None:
    expected = {"id": body.get("id"), "object": "response", "deleted": True}
    assert body == expected, f"body: {body} instead of {expected}"
    assert str(body["id"]).startswith("resp_"), f"id: {body['id']!r} does not begin with resp_"


def check_token_counts(body: Json) -> None:
    validate("TokenCountsResource", body, set())
    assert body["input_tokens"] > 0, "input_tokens: none"


def _check_reasoning(item: Json, path: str) -> None:
    content, summary = item.get("content", []), item["summary"]
    assert len(content) <= 1, f"{path}.content: {len(content)} parts"
    if item["status"] == "in_progress":
        return
    for name, parts in (("content", content), ("summary", summary)):
        assert all(part["text"].strip() for part in parts), f"{path}.{name}: no text in it"
    if content and summary:
        assert [part["text"] for part in summary] == [content[0]["text"]], f"{path}.summary: not the trace"


def _check_status(body: Json) -> None:
    status = body["status"]
    for name, owner in REASONS.items():
        assert (body[name] is not None) == (status == owner), f"{name}: {body[name]} while status is {status}"
    if status == "completed":
        assert body["completed_at"] >= body["created_at"], "completed_at: before created_at"
    if status == "incomplete":
        assert body["incomplete_details"].get("reason"), "incomplete_details.reason: missing"
    if status in ("completed", "incomplete"):
        assert body["usage"] is not None, f"usage: null while status is {status}"
    if status == "queued":
        assert body["output"] == [], "output: not empty while status is queued"


def _check_order(output: list[Json], status: str) -> None:
    """One turn of an assistant: a trace, a message, calls. Only its last item may be unfinished."""
    kinds = [item["type"] for item in output]
    assert kinds == sorted(kinds, key=ORDER.index), f"output: its order is {', '.join(kinds)}"
    for kind in ("reasoning", "message"):
        assert kinds.count(kind) <= 1, f"output: {kinds.count(kind)} items of type {kind}"
    for name in ("id", "call_id"):
        ids = [item[name] for item in output if name in item]
        assert len(set(ids)) == len(ids), f"output: {name} is not unique"
    last = {"completed": "completed"}.get(status, "in_progress" if status in UNFINISHED else "incomplete")
    for path, item in numbered(output, "output"):
        right = {"completed", last} if item is output[-1] else {"completed"}
        assert item["status"] in right, f"{path}.status: {item['status']} while the response is {status}"


def _check_usage(usage: Json | None) -> None:
    if usage is None:
        return
    total = usage["input_tokens"] + usage["output_tokens"]
    assert usage["total_tokens"] == total, f"usage.total_tokens: {usage['total_tokens']} instead of {total}"
    cached = usage["input_tokens_details"]["cached_tokens"]
    assert cached <= usage["input_tokens"], "usage.input_tokens_details.cached_tokens: above the total"
    reasoning = usage["output_tokens_details"]["reasoning_tokens"]
    assert reasoning <= usage["output_tokens"], "usage.output_tokens_details.reasoning_tokens: above the total"
