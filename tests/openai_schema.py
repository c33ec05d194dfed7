"""Checks of whole response bodies: OpenAI's published schemas, and what clients rely on beyond them.

Fields that OpenAI does not know are allowed; every other difference fails with the path of the field in the message.
`trace` names the fields that carry the reasoning trace; they are all there, or none is.
"""

import base64
import binascii
import json
from collections.abc import Collection
from copy import deepcopy

from tests.schemas.published import Json, numbered, validate

TRACE = ("reasoning_content", "reasoning")

# A null anywhere else fails clients that expect an object, an array or an enum there, or nothing.
NULLABLE = {
    "chat": {
        "choices.logprobs",
        "choices.logprobs.content",
        "choices.logprobs.refusal",
        "choices.logprobs.content.bytes",
        "choices.logprobs.content.top_logprobs.bytes",
        "choices.message.content",
        "choices.message.refusal",
    },
    "text": {"choices.logprobs"},
    "error": {"error.param", "error.code"},
}
STREAMED = {"choices.finish_reason", "usage"}


def check_completion(body: Json, trace: Collection[str] = TRACE) -> None:
    validate("CreateChatCompletionResponse", body, NULLABLE["chat"])
    _check_indices(body["choices"], "choices")
    for path, choice in numbered(body["choices"], "choices"):
        message = choice["message"]
        _check_trace(message, trace, f"{path}.message")
        assert message["content"] is not None or "tool_calls" in message, f"{path}.message.content: null without a call"
        check_calls(message.get("tool_calls"), choice["finish_reason"], f"{path}.message.tool_calls")
    _check_chat_usage(body)


def check_chunk(body: Json, trace: Collection[str] = TRACE) -> None:
    """One chunk of a chat stream. `check_stream` checks their order."""
    validate("CreateChatCompletionStreamResponse", body, NULLABLE["chat"] | STREAMED)
    for path, choice in numbered(body["choices"], "choices"):
        delta = choice["delta"]
        thinks = _check_trace(delta, trace, f"{path}.delta")
        beside = delta.keys() & {"content", "tool_calls", "role", "refusal"}
        assert not thinks or not beside, f"{path}.delta: the trace shares a chunk with {', '.join(sorted(beside))}"
        assert not delta or choice["finish_reason"] is None, f"{path}.delta: not empty beside a finish_reason"
    if body.get("usage") is not None:
        assert body["choices"] == [], "choices: not empty beside usage"
        _check_chat_usage(body)


def check_text_completion(body: Json) -> None:
    """A whole legacy completion."""
    validate("CreateCompletionResponse", _without_first_logprob(body), NULLABLE["text"])
    _check_indices(body["choices"], "choices")
    for path, choice in numbered(body["choices"], "choices"):
        _check_columns(choice["logprobs"] or {}, f"{path}.logprobs")
    _check_usage(body)


def check_text_chunk(body: Json) -> None:
    """A chunk of a legacy stream: a completion whose finish_reason is null until the end."""
    whole = _without_first_logprob(body)
    for choice in whole["choices"]:
        if choice.get("finish_reason", "") is None:
            choice["finish_reason"] = "stop"
    if whole.get("usage", "") is None:
        del whole["usage"]
    validate("CreateCompletionResponse", whole, NULLABLE["text"])
    for path, choice in numbered(body["choices"], "choices"):
        _check_columns(choice["logprobs"] or {}, f"{path}.logprobs")
    if "usage" in whole:
        _check_usage(whole)


def check_embeddings(body: Json) -> None:
    """Vectors as lists, or as base64 of 32-bit floats."""
    decoded = deepcopy(body)
    for path, each in numbered(decoded.get("data", []), "data"):
        if isinstance(each.get("embedding"), str):
            each["embedding"] = [0.0] * _floats_in(each["embedding"], f"{path}.embedding")
    validate("CreateEmbeddingResponse", decoded, set())
    _check_indices(body["data"], "data")
    lengths = {len(each["embedding"]) for each in decoded["data"]}
    assert len(lengths) <= 1, f"data: vectors of different lengths, {sorted(lengths)}"
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"], "usage.total_tokens: not prompt_tokens"


def check_models(body: Json) -> None:
    validate("ListModelsResponse", body, set())


def check_model(body: Json) -> None:
    validate("Model", body, set())


def check_error(body: Json) -> None:
    validate("ErrorResponse", body, NULLABLE["error"])
    keys = sorted(body["error"])
    assert keys == ["code", "message", "param", "type"], f"error: its keys are {', '.join(keys)}"
    assert body["error"]["message"].strip(), "error.message: empty"


def check_calls(calls: list[Json] | None, finish_reason: str, path: str = "tool_calls") -> None:
    """Whole calls, and the finish reason that belongs to them. A call that was cut need not be JSON."""
    assert calls is None or calls, f"{path}: empty; no calls are left out"
    expected = {"tool_calls", "length"} if calls else {"stop", "length", "content_filter"}
    assert finish_reason in expected, f"{path}: finish_reason is {finish_reason!r} with {len(calls or [])} calls"
    ids = [call["id"] for call in calls or []]
    assert len(set(ids)) == len(ids), f"{path}: ids are not unique"
    for number, call in enumerate(calls or []):
        if finish_reason == "tool_calls":
            check_arguments(call["function"]["arguments"], f"{path}[{number}].function.arguments")


def check_arguments(text: str, path: str) -> None:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise AssertionError(f"{path}: not JSON, {error}") from None
    assert isinstance(value, dict), f"{path}: not an object"


def _check_indices(items: list[Json], path: str) -> None:
    indices = [each["index"] for each in items]
    assert indices == list(range(len(items))), f"{path}: their indices are {indices}"


def _check_trace(part: Json, trace: Collection[str], path: str) -> bool:
    """Returns whether there is a trace."""
    there = [name for name in TRACE if name in part]
    assert not there or set(there) == set(trace), f"{path}: the trace is in {there} instead of {list(trace)}"
    texts = {part[name] for name in there}
    assert len(texts) <= 1, f"{path}: the trace differs between {' and '.join(there)}"
    assert all(isinstance(text, str) and text.strip() for text in texts), f"{path}.{there[0]}: no text in it"
    return bool(there)


def _check_usage(body: Json) -> None:
    usage = body.get("usage")
    assert usage is not None, "usage: missing"
    total = usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["total_tokens"] == total, f"usage.total_tokens: {usage['total_tokens']} instead of {total}"


def _check_chat_usage(body: Json) -> None:
    _check_usage(body)
    usage = body["usage"]
    for group, name in (("prompt_tokens_details", "cached_tokens"), ("completion_tokens_details", "reasoning_tokens")):
        assert name in usage.get(group, {}), f"usage.{group}.{name}: missing"
    cached, missed = usage.get("prompt_cache_hit_tokens"), usage.get("prompt_cache_miss_tokens")
    assert cached == usage["prompt_tokens_details"]["cached_tokens"], "usage.prompt_cache_hit_tokens: not cached_tokens"
    assert missed == usage["prompt_tokens"] - cached, "usage.prompt_cache_miss_tokens: not the rest of prompt_tokens"
    reasoning = usage["completion_tokens_details"]["reasoning_tokens"]
    assert reasoning <= usage["completion_tokens"], "usage.completion_tokens_details.reasoning_tokens: above the total"


def _without_first_logprob(body: Json) -> Json:
    """A prompt's first token has no probability: OpenAI's API says null there, which its schema does not know."""
    body = deepcopy(body)
    for choice in body.get("choices", []):
        for column in ("token_logprobs", "top_logprobs"):
            values = (choice.get("logprobs") or {}).get(column)
            if values and values[0] is None:
                del values[0]
    return body


def _check_columns(logprobs: Json, path: str) -> None:
    lengths = {name: len(column) for name, column in logprobs.items() if isinstance(column, list)}
    assert len(set(lengths.values())) <= 1, f"{path}: columns of different lengths, {lengths}"


def _floats_in(text: str, path: str) -> int:
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise AssertionError(f"{path}: not base64, {error}") from None
    assert len(raw) % 4 == 0, f"{path}: {len(raw)} bytes are not 32-bit floats"
    return len(raw) // 4
