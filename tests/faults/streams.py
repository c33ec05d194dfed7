"""Thirty-two requests that are under way together when the engine is lost: every dialect, streamed and not, with
everything that keeps a state of its own in the engine. And what each has answered, without what is new in each answer.
"""

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx

from tests import messages_stream, openai_stream, responses_stream
from tests.checked import check_response
from tests.contract.cases import MODEL
from tests.readings import Reading

Json = dict[str, Any]

CHAT, COMPLETIONS, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses"
LIMIT = {CHAT: "max_tokens", COMPLETIONS: "max_tokens", MESSAGES: "max_tokens", RESPONSES: "max_output_tokens"}
TOKENS, MOST_TOKENS = 32, 64  # the second where a grammar decides about the end
PATIENCE = 200.0  # seconds without a byte
SUBJECTS = ("the sea", "an old tree", "a train", "the moon", "bread", "a river", "winter", "a clock", "an island")

STORY: Json = {
    "type": "object",
    "properties": {"title": {"type": "string", "maxLength": 20}, "story": {"type": "string", "minLength": 60}},
    "required": ["title", "story"],
    "additionalProperties": False,
}
WRITE: Json = {"name": "write", "description": "Writes a story.", "parameters": STORY}
FORMAT: Json = {"type": "json_schema", "json_schema": {"name": "story", "schema": STORY}}
GREEDY: Json = {"temperature": 0, "ignore_eos": True}
BRIEF: Json = {"temperature": 0, "reasoning_effort": "minimal"}  # the grammar holds behind the trace
PENALTIES: Json = {"presence_penalty": 0.7, "frequency_penalty": 0.5, "repetition_penalty": 1.2}
STREAMED, WHOLE = (True,), (False,)
BOTH = (True, False)

KINDS: list[tuple[str, str, Json, tuple[bool, ...]]] = [
    (CHAT, "plain", GREEDY, BOTH),
    (CHAT, "tool", {**BRIEF, "tools": [{"type": "function", "function": WRITE}], "tool_choice": "required"}, BOTH),
    (CHAT, "schema", {**BRIEF, "response_format": FORMAT}, BOTH),
    (CHAT, "penalties", {"temperature": 0, **PENALTIES, "min_tokens": TOKENS - 4}, BOTH),
    (CHAT, "budget", {**GREEDY, "thinking_budget": TOKENS // 2}, BOTH),
    (CHAT, "logprobs", {**GREEDY, "logprobs": True, "top_logprobs": 3}, BOTH),
    (CHAT, "choices", {**GREEDY, "n": 2}, BOTH),
    (CHAT, "seed", {"temperature": 1, "seed": 7, "ignore_eos": True}, BOTH),
    (COMPLETIONS, "plain", GREEDY, STREAMED),
    (COMPLETIONS, "logprobs", {**GREEDY, "logprobs": 2}, WHOLE),
    (COMPLETIONS, "seed", {"temperature": 1, "seed": 11, "n": 2, "ignore_eos": True}, STREAMED),
    (COMPLETIONS, "pattern", {"temperature": 0, "structured_outputs": {"regex": "[a-z ]{100}end"}}, WHOLE),
    (MESSAGES, "plain", {"temperature": 0}, BOTH),
    (MESSAGES, "budget", {"temperature": 0, "thinking": {"type": "enabled", "budget_tokens": TOKENS // 2}}, STREAMED),
    (
        MESSAGES,
        "tool",
        {"temperature": 0, "tools": [{"name": "write", "input_schema": STORY}], "tool_choice": {"type": "any"}},
        BOTH,
    ),
    (RESPONSES, "stored", GREEDY, BOTH),
    (RESPONSES, "unstored", {**GREEDY, "store": False}, BOTH),
    (RESPONSES, "background", {**GREEDY, "background": True}, BOTH),
    (RESPONSES, "tool", {**BRIEF, "tools": [{"type": "function", **WRITE}], "tool_choice": "required"}, STREAMED),
]


@dataclass(frozen=True)
class Request:
    """name: what is special about it."""

    name: str
    path: str
    body: Json

    @property
    def streamed(self) -> bool:
        return bool(self.body["stream"])

    @property
    def greedy(self) -> bool:
        return not self.body["temperature"]

    @property
    def generations(self) -> int:
        return int(self.body.get("n", 1))

    def ask(self, client: httpx.Client) -> Reading:
        in_turns = self.body.get("background") and not self.streamed
        return (Fetching if in_turns else Reading)(client, "POST", self.path, json=self.body, timeout=PATIENCE)

    def __str__(self) -> str:
        return f"{self.path} {self.name} {'streamed' if self.streamed else 'whole'}"


def mixed() -> list[Request]:
    kinds = [(path, name, fields, stream) for path, name, fields, streams in KINDS for stream in streams]
    return [
        Request(name, path, body(path, f"Write a story about {SUBJECTS[at % len(SUBJECTS)]}.", stream, **fields))
        for at, (path, name, fields, stream) in enumerate(kinds)
    ]


def body(path: str, text: str, stream: bool, **fields: Any) -> Json:
    messages = [{"role": "user", "content": text}]
    prompt: Json = {COMPLETIONS: {"prompt": text}, RESPONSES: {"input": text}}.get(path, {"messages": messages})
    if stream and path in (CHAT, COMPLETIONS):
        prompt["stream_options"] = {"include_usage": True}
    grammar = fields.keys() & {"tools", "response_format", "structured_outputs"}
    return {"model": MODEL, "stream": stream, LIMIT[path]: MOST_TOKENS if grammar else TOKENS, **prompt, **fields}


class Fetching(Reading):
    """A response that is made in the background, fetched until it has ended."""

    def _read(self, client: httpx.Client, method: str, path: str, **more: Any) -> None:
        response = client.request(method, path, **more)
        self.status, self.headers = response.status_code, response.headers
        url = f"{path}/{response.json()['id']}"
        while response.status_code == 200 and response.json()["status"] in ("queued", "in_progress"):
            time.sleep(0.2)
            response = client.get(url)
        self.text = response.text


NEW = {"id", "item_id", "call_id", "created", "created_at", "completed_at", "signature", "usage"}
"""What no two answers have in common. The usage also says what came from a cache."""


@dataclass(frozen=True)
class Answer:
    """content: without what is new in each. read, made: tokens."""

    content: Json
    read: int
    made: int


def answer(request: Request, reading: Reading) -> Answer:
    """The whole one, put together if it was a stream. Raises AssertionError if it did not end well, and once."""
    assert reading.status == 200, reading.text
    check_response(request.path, reading.status, reading.headers["content-type"], reading.text)
    whole = _joined(request, reading.text) if request.streamed else json.loads(reading.text)
    assert whole.get("error") is None, whole["error"]
    usage = whole["usage"]
    read = usage.get("prompt_tokens") or usage["input_tokens"] + usage.get("cache_read_input_tokens", 0)
    made = usage.get("completion_tokens") or usage["output_tokens"]
    return Answer(_without_new(whole), read, made)


def _joined(request: Request, text: str) -> Json:
    match request.path:
        case "/v1/messages":
            events = messages_stream.read_events(text)
            return messages_stream.joined([event for event in events if event != messages_stream.PING])
        case "/v1/responses":
            last: Json = responses_stream.read_events(text)[-1]
            return dict(last["response"])
    chunks = openai_stream.read_events(text)
    choices = openai_stream.joined(chunks) if request.path == CHAT else []
    return {"choices": choices, "pieces": _pieces(chunks), "usage": chunks[-1]["usage"]}


def _pieces(chunks: list[Json]) -> Json:
    """Texts and logprobs of each choice, of trace and answer, however they were cut into chunks."""
    texts: Json = {}
    for step in (step for chunk in chunks for step in chunk["choices"]):
        logprobs = step.get("logprobs") or {}
        parts = {"text": step.get("text", ""), "end": step["finish_reason"] or ""}
        parts |= {name: each for name, each in logprobs.items() if each is not None}
        for name, part in parts.items():
            key = f"{step['index']} {name}"
            texts[key] = texts.get(key, type(part)()) + part
    return texts


def _without_new(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_new(each) for name, each in value.items() if name not in NEW}
    return [_without_new(each) for each in value] if isinstance(value, list) else value
