"""Errors in Anthropic's shape: {"type": "error", "error": {type, message}, "request_id"}.

It has no place for the field at fault, so the message begins with it. The type follows from the status.
"""

from typing import Literal

import msgspec
from pydantic import BaseModel

from fathom.api.fields import printable
from fathom.core.errors import ContextLengthExceeded, ServiceError


class MessagesErrorDetail(BaseModel):
    type: str
    message: str


class MessagesErrorBody(BaseModel):
    """Every error of the routes below /v1/messages, as the OpenAPI document describes it."""

    type: Literal["error"]
    error: MessagesErrorDetail
    request_id: str


_MOST_TEXT = 1000
_TOO_LONG = (  # agents look for these words, and shorten the conversation by themselves
    "prompt is too long: {prompt} tokens > {most} maximum. Shorten the messages, or start the server with a larger "
    "--max-model-len."
)

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",  # what a client does about it is the same: it comes back later
    504: "timeout_error",
    529: "overloaded_error",
}


def body(error: ServiceError, request_id: str) -> bytes:
    shape = {"type": _type(error.status), "message": printable(_message(error), _MOST_TEXT)}
    return msgspec.json.encode({"type": "error", "error": shape, "request_id": request_id})


def frame(error: ServiceError, request_id: str) -> bytes:
    """An error in the middle of a stream. No message_stop follows it."""
    return b"event: error\ndata: " + body(error, request_id) + b"\n\n"


def _type(status: int) -> str:
    return _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")


def _message(error: ServiceError) -> str:
    if isinstance(error, ContextLengthExceeded):
        return _TOO_LONG.format(prompt=error.prompt_tokens, most=error.limit - 1)
    if error.param is None or error.param in error.message:
        return error.message
    return f"{error.param}: {error.message}"
