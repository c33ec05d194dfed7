"""Requests to /v1/responses for the tests of this folder."""

from collections.abc import Iterable
from typing import Any

import httpx
from fathom.core.events import Accepted, Event, Finished, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStart
from fathom.core.generation import GenerationRequest

from tests.responses_stream import read_events
from tests.running import until

URL = "/v1/responses"
TOOL = {"type": "function", "name": "add", "parameters": {"type": "object"}}

Json = dict[str, Any]


def create(client: httpx.Client, **fields: Any) -> Json:
    """A response that could be made."""
    answer = client.post(URL, json={"model": "scripted", "input": "one two three", **fields})
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


def stream(client: httpx.Client, **fields: Any) -> list[Json]:
    """All events of one."""
    answer = client.post(URL, json={"model": "scripted", "input": "one two three", "stream": True, **fields})
    assert answer.status_code == 200, answer.text
    return read_events(answer.text)


def resumed(client: httpx.Client, response_id: str, after: int) -> list[Json]:
    answer = client.get(f"{URL}/{response_id}", params={"stream": True, "starting_after": after})
    assert answer.status_code == 200, answer.text
    return read_events(answer.text)


def get(client: httpx.Client, response_id: str) -> Json:
    answer = client.get(f"{URL}/{response_id}")
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body


def wait_for(client: httpx.Client, response_id: str, *statuses: str) -> Json:
    until(lambda: get(client, response_id)["status"] in statuses, f"the response is {' or '.join(statuses)}")
    return get(client, response_id)


def text_of(body: Json) -> str:
    messages = [item for item in body["output"] if item["type"] == "message"]
    return "".join(part["text"] for item in messages for part in item["content"])


def never_ends(request: GenerationRequest) -> Iterable[Event]:
    """A trace, then words for ever. The engine should have a delay."""
    yield Accepted(prompt_tokens=7)
    yield ReasoningDelta("Let me think.")
    while True:
        yield TextDelta("word ")


def calls_a_tool(request: GenerationRequest) -> Iterable[Event]:
    """A trace and a call; once there is a result, the result."""
    yield Accepted(prompt_tokens=7)
    last = request.prompt.messages[-1]  # type: ignore[union-attr] # a response is always a chat
    if last.role == "tool":
        yield from (TextDelta(f"It is {last.content}."), Finished("stop", 7, 5))
        return
    yield from (ReasoningDelta("I should add."), ToolCallStart(0, "call_1", "add"))
    yield from (ToolCallDelta(0, '{"a":'), ToolCallDelta(0, "2}"), Finished("tool_calls", 7, 9, 0, 4))
