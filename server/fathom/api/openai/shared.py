"""What the OpenAI routes share."""

from collections.abc import Sequence
from typing import Any

from fathom.api import errors
from fathom.api.fields import adapter_of, ignored_header, refuse
from fathom.core.errors import ServiceError
from fathom.core.events import Finished, TokenLogprob

__all__ = ["adapter_of", "error_frame", "ignored_header", "logprob", "refuse", "usage"]


def error_frame(error: ServiceError) -> bytes:
    """An error in the middle of a stream. No [DONE] follows it."""
    return b"data: " + errors.body(error) + b"\n\n"


def usage(finished: Sequence[Finished]) -> dict[str, Any]:
    """Of all choices of one request. The prompt is counted once, and what was cached of it before any choice ran."""
    prompt_tokens = finished[0].prompt_tokens
    completion_tokens = sum(each.completion_tokens for each in finished)
    cached_tokens = min(each.cached_tokens for each in finished)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": sum(each.reasoning_tokens for each in finished)},
        "prompt_cache_hit_tokens": cached_tokens,
        "prompt_cache_miss_tokens": prompt_tokens - cached_tokens,
    }


def logprob(each: TokenLogprob) -> dict[str, Any]:
    """A token of an answer, with the likeliest at its place."""
    return {
        "token": each.text,
        "logprob": each.logprob,
        "bytes": list(each.raw),
        "top_logprobs": [
            {"token": other.text, "logprob": other.logprob, "bytes": list(other.raw)} for other in each.top
        ],
    }
