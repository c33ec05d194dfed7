"""Requests to /v1/messages for the tests of this folder."""

from typing import Any

import httpx

from tests.messages_stream import joined, read_events

URL, COUNT = "/v1/messages", "/v1/messages/count_tokens"
USER = {"role": "user", "content": "one two three"}

Json = dict[str, Any]


def body(**fields: object) -> Json:
    return {"model": "scripted", "max_tokens": 50, "messages": [USER], **fields}


def post(client: httpx.Client, **fields: object) -> httpx.Response:
    return client.post(URL, json=body(**fields))


def message(response: httpx.Response) -> Json:
    """Of a whole response, or put together from a stream's events."""
    assert response.status_code == 200, response.text
    if response.headers["content-type"].startswith("text/event-stream"):
        return joined([event for event in read_events(response.text) if event["type"] != "ping"])
    found: Json = response.json()
    return found


def error(response: httpx.Response) -> Json:
    problem: Json = response.json()
    assert set(problem) == {"type", "error", "request_id"}
    assert problem["request_id"] == response.headers["request-id"]
    assert set(problem["error"]) == {"type", "message"}
    found: Json = problem["error"]
    return found
