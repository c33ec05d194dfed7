"""Checks of the streams of Anthropic's Messages: their frames, the order of events, and what they join to."""

import json
from typing import Any

from anthropic.types import RawMessageStreamEvent

from tests.messages_schema import check_error, check_message, check_opening, validate
from tests.responses_stream import read_events
from tests.schemas.published import Json

__all__ = ["check_stream", "joined", "read_events"]

PING = {"type": "ping"}
# The deltas of a block, and the field that they add to.
DELTAS = {
    "thinking": {"thinking_delta": "thinking", "signature_delta": "signature"},
    "text": {"text_delta": "text"},
    "tool_use": {"input_json_delta": "partial_json"},
}
EMPTY: dict[str, Json] = {
    "thinking": {"thinking": "", "signature": ""},
    "text": {"text": ""},
    "tool_use": {"input": {}},
}


def check_stream(events: list[Json]) -> None:
    """Every event of a stream that came to its end, be it an error."""
    events = [event for event in events if event != PING]
    assert events, "the stream has no events"
    if events[-1]["type"] == "error":
        check_error(events.pop())
        for event in events:
            validate(RawMessageStreamEvent, event)
        return
    for event in events:
        validate(RawMessageStreamEvent, event)
    check_message(joined(events))


def joined(events: list[Json]) -> Json:
    """The message that the events add up to; fails where they are out of order."""
    kinds = [event["type"] for event in events]
    assert kinds[0] == "message_start", f"the stream begins with {kinds[0]}"
    assert kinds[-2:] == ["message_delta", "message_stop"], f"the stream ends on {', '.join(kinds[-2:])}"
    message, last = events[0]["message"], events[-2]
    check_opening(message)
    _check_first(message)
    stopped = last["delta"].get("stop_reason") != "max_tokens"
    content = _blocks(events[1:-2], whole=stopped)
    usage = message["usage"] | {name: each for name, each in last["usage"].items() if each is not None}
    return {**message, **last["delta"], "content": content, "usage": usage}


def _check_first(message: Json) -> None:
    assert message["content"] == [], "message_start: its content is not empty"
    assert message["stop_reason"] is None, "message_start: has a stop_reason"
    assert message["usage"]["input_tokens"] > 0, "message_start: its usage.input_tokens are not the real ones"


def _blocks(events: list[Json], whole: bool) -> list[Json]:
    blocks: list[Json] = []
    deltas: list[Json] | None = None
    for event in events:
        where = f"{event['type']} {event.get('index', '')}"
        if event["type"] == "content_block_start":
            assert deltas is None, f"{where}: begins while another block is open"
            assert event["index"] == len(blocks), f"{where}: out of order"
            blocks.append(event["content_block"])
            deltas = []
            continue
        assert deltas is not None, f"{where}: of no open block"
        assert event.get("index") == len(blocks) - 1, f"{where}: of a block that is not open"
        if event["type"] == "content_block_delta":
            deltas.append(event["delta"])
        else:
            assert event["type"] == "content_block_stop", f"{where}: between blocks"
            blocks[-1], deltas = _block(blocks[-1], deltas, where, whole), None
    assert deltas is None, "the stream ends while a block is open"
    return blocks


def _block(start: Json, deltas: list[Json], where: str, whole: bool) -> Json:
    """The block that opened as `start`. `whole`: it was not cut by the limit of tokens."""
    kind = start["type"]
    opened = {name: start.get(name) for name in EMPTY[kind]}
    assert opened == EMPTY[kind], f"{where}: opened with {opened}"
    kinds = [delta["type"] for delta in deltas]
    assert set(kinds) <= DELTAS[kind].keys(), f"{where}: {', '.join(kinds)} in a block of {kind}"
    if kind == "thinking":
        assert kinds.count("signature_delta") == 1, f"{where}: {kinds.count('signature_delta')} signatures"
        assert kinds[-1] == "signature_delta", f"{where}: its signature is not its last delta"
    texts = dict.fromkeys(DELTAS[kind].values(), "")
    for delta in deltas:
        texts[DELTAS[kind][delta["type"]]] += delta[DELTAS[kind][delta["type"]]]
    return {**start, "input": _input(texts["partial_json"], where, whole)} if kind == "tool_use" else {**start, **texts}


def _input(text: str, where: str, whole: bool) -> Any:
    """The input of a call. Nothing was sent for an empty one, and one that was cut need not be JSON."""
    try:
        return json.loads(text or "{}")
    except ValueError as error:
        if whole:
            raise AssertionError(f"{where}: its input is not JSON, {error}") from None
        return {}
