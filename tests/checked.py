"""Every response that a test reads whole is checked against OpenAI's published schemas, whatever the test looks at."""

import json
from collections.abc import Collection
from typing import Any

import httpx

from tests import openai_schema, openai_stream

_WHOLE = {
    "/v1/completions": openai_schema.check_text_completion,
    "/v1/embeddings": openai_schema.check_embeddings,
    "/v1/models": openai_schema.check_models,
}


def check_response(
    path: str, status: int, content_type: str, text: str, trace: Collection[str] = openai_schema.TRACE
) -> None:
    """`trace`: the field names that carry one. A stream that ended in an error is left to the test that wanted it."""
    if not path.startswith("/v1/"):
        return
    if content_type.startswith("text/event-stream"):
        if '\ndata: {"error":' not in text:
            _check_stream(path, openai_stream.read_events(text), trace)
    elif status >= 400:
        openai_schema.check_error(json.loads(text))
    elif path == "/v1/chat/completions":
        openai_schema.check_completion(json.loads(text), trace)
    else:
        _WHOLE.get(path, openai_schema.check_model)(json.loads(text))


def _check_stream(path: str, events: list[dict[str, Any]], trace: Collection[str]) -> None:
    if path == "/v1/completions":
        openai_stream.check_text_stream(events)
    else:
        openai_stream.check_stream(events, trace)


class CheckedClient(httpx.Client):
    """Checks what it reads whole; a response that the test streams itself is the test's to check."""

    trace: Collection[str] = openai_schema.TRACE

    def send(self, request: httpx.Request, *, stream: bool = False, **more: Any) -> httpx.Response:
        response = super().send(request, stream=stream, **more)
        if not stream:
            kind = response.headers.get("content-type", "")
            check_response(request.url.path, response.status_code, kind, response.text, self.trace)
        return response
