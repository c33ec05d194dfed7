"""Every response that a test reads whole is checked against what its API publishes, whatever the test looks at."""

import json
from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from tests import messages_schema, messages_stream, openai_schema, openai_stream, responses_schema, responses_stream
from tests.schemas.published import Json

_WHOLE = {
    "/v1/completions": openai_schema.check_text_completion,
    "/v1/embeddings": openai_schema.check_embeddings,
    "/v1/messages": messages_schema.check_message,
    "/v1/messages/count_tokens": messages_schema.check_token_count,
    "/v1/models": openai_schema.check_models,
    "/v1/responses/input_tokens": responses_schema.check_token_counts,
}


def check_response(
    target: str, status: int, content_type: str, text: str, trace: Collection[str] = openai_schema.TRACE
) -> None:
    """`target`: path and query. `trace`: the field names that carry one in chat. A stream of OpenAI's older APIs that
    ended in an error is left to the test that wanted it."""
    path, query = urlsplit(target).path, urlsplit(target).query
    if not path.startswith("/v1/"):
        return
    if content_type.startswith("text/event-stream"):
        _check_stream(path, query, text, trace)
    elif status >= 400:
        check_error = messages_schema.check_error if _under(path, "/v1/messages") else openai_schema.check_error
        check_error(json.loads(text))
    elif path == "/v1/chat/completions":
        openai_schema.check_completion(json.loads(text), trace)
    elif path in _WHOLE:
        _WHOLE[path](json.loads(text))
    elif _under(path, "/v1/responses"):
        _check_stored(path, json.loads(text))
    elif path != "/v1/usage":  # which is ours
        openai_schema.check_model(json.loads(text))


def _check_stored(path: str, body: Json) -> None:
    if path.endswith("/input_items"):
        responses_schema.check_item_list(body)
    elif "deleted" in body:
        responses_schema.check_deleted(body)
    else:
        responses_schema.check_response(body)


def _check_stream(path: str, query: str, text: str, trace: Collection[str]) -> None:
    if _under(path, "/v1/responses"):
        after = parse_qs(query).get("starting_after")
        responses_stream.check_stream(responses_stream.read_events(text), int(after[0]) if after else None)
    elif path == "/v1/messages":
        messages_stream.check_stream(messages_stream.read_events(text))
    elif '\ndata: {"error":' in text:
        return
    elif path == "/v1/completions":
        openai_stream.check_text_stream(openai_stream.read_events(text))
    else:
        openai_stream.check_stream(openai_stream.read_events(text), tuple(trace))


def _under(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")


class CheckedClient(httpx.Client):
    """Checks what it reads whole; a response that the test streams itself is the test's to check."""

    trace: Collection[str] = openai_schema.TRACE

    def send(self, request: httpx.Request, *, stream: bool = False, **more: Any) -> httpx.Response:
        response = super().send(request, stream=stream, **more)
        if not stream:
            kind = response.headers.get("content-type", "")
            check_response(str(request.url), response.status_code, kind, response.text, self.trace)
        return response
