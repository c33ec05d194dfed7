"""A stream and a whole message are made from the same events and say the same, as Anthropic's SDK reads them."""

import json

import msgspec
import pytest
from anthropic.types import RawMessageStreamEvent
from fathom.api.anthropic.messages.blocks import Blocks
from fathom.api.anthropic.messages.schemas import MessagesRequest
from fathom.api.anthropic.messages.stream import PING, MessageStream
from fathom.api.anthropic.messages.translate import to_message
from fathom.core.events import Accepted, Finished, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStart
from fathom.serving.sealing import Seals
from hypothesis import given
from hypothesis import strategies as st

from tests.messages_schema import validate
from tests.messages_stream import check_stream, joined, read_events

SEALS = Seals(b"k" * 32)
CONTEXT = 14  # the prompt has 5 tokens, and a request asks for 9
TEXT = st.sampled_from(["a", "é🐍", '"quoted" \\', "\n", " ", "<think>", "\u2028", "{}"])
SOLID = TEXT.filter(str.strip)
TRACE, ANSWER, CALL, ARGUMENTS = (
    ReasoningDelta("hm"),
    TextDelta("yes"),
    ToolCallStart(0, "call_0", "f"),
    ToolCallDelta(0, '{"a": 1}'),
)


def finished(reason: str = "stop", **fields: object) -> Finished:
    return Finished(reason, 5, 9, 3, 4, **fields)  # type: ignore[arg-type]


def request(**fields: object) -> MessagesRequest:
    return MessagesRequest(model="m", messages=[{"role": "user", "content": "x"}], max_tokens=9, **fields)


async def played(events: list):
    for event in events:
        yield event


async def streamed(*events: object, **fields: object) -> list[dict]:
    frames = MessageStream(request(**fields), "msg_1", SEALS, CONTEXT).frames(played([Accepted(5), *events]))
    return read_events(b"".join([frame async for frame in frames]).decode())


async def whole(*events: object, **fields: object) -> dict:
    message = await to_message(played([Accepted(5), *events]), request(**fields), "msg_1", SEALS, CONTEXT)
    return json.loads(msgspec.json.encode(message))


async def test_a_limit_that_the_context_cut_short_is_said_to_be_the_contexts():
    events = played([Accepted(5), ANSWER, finished("length")])
    message = await to_message(events, request(), "msg_1", SEALS, CONTEXT - 1)
    assert message["stop_reason"] == "model_context_window_exceeded"


def without_pings(events: list[dict]) -> list[dict]:
    return [event for event in events if event["type"] != "ping"]


async def test_events_come_in_anthropics_order():
    events = await streamed(TRACE, ReasoningDelta(" so"), ANSWER, CALL, ARGUMENTS, finished("tool_calls"))
    check_stream(events)
    usage = {
        "input_tokens": 5,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 0,
        "output_tokens_details": {"thinking_tokens": 0},
        "service_tier": "standard",
    }
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    call = {"type": "tool_use", "id": "call_0", "name": "f", "input": {}}

    def delta(index: int, kind: str, **fields: str) -> dict:
        return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}

    assert events == [
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "m",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": usage,
            },
        },
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": thinking},
        delta(0, "thinking_delta", thinking="hm"),
        delta(0, "thinking_delta", thinking=" so"),
        delta(0, "signature_delta", signature=SEALS.sign("hm so")),
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        delta(1, "text_delta", text="yes"),
        {"type": "content_block_stop", "index": 1},
        {"type": "content_block_start", "index": 2, "content_block": call},
        delta(2, "input_json_delta", partial_json='{"a": 1}'),
        {"type": "content_block_stop", "index": 2},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {
                "input_tokens": 2,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 3,
                "output_tokens": 9,
                "output_tokens_details": {"thinking_tokens": 4},
            },
        },
        {"type": "message_stop"},
    ]


async def test_every_frame_names_its_event():
    frames = MessageStream(request(), "msg_1", SEALS, CONTEXT).frames(played([Accepted(5), TRACE, ANSWER, finished()]))
    for frame in b"".join([frame async for frame in frames]).split(b"\n\n")[:-1]:
        event, data = frame.split(b"\n")
        assert event.removeprefix(b"event: ").decode() == json.loads(data.removeprefix(b"data: "))["type"]
    assert PING == b'event: ping\ndata: {"type":"ping"}\n\n'


async def test_nothing_waits_for_a_later_event():
    frames = MessageStream(request(), "msg_1", SEALS, CONTEXT).frames(played([Accepted(5), TRACE, ANSWER, finished()]))
    kinds = [[event["type"] for event in read_events(frame.decode())] for frame in [frame async for frame in frames]]
    assert kinds[0] == ["message_start", "ping"]
    assert kinds[1] == ["content_block_start", "content_block_delta"]
    assert kinds[2][:2] == ["content_block_delta", "content_block_stop"]
    assert kinds[2][2:] == ["content_block_start", "content_block_delta"]


async def test_a_trace_that_is_omitted_is_only_in_its_signature():
    omitted = {"type": "adaptive", "display": "omitted"}
    events = await streamed(ReasoningDelta("secret"), ReasoningDelta(" plan"), ANSWER, finished(), thinking=omitted)
    message = joined(without_pings(events))
    again = await whole(ReasoningDelta("secret plan"), ANSWER, finished(), thinking=omitted)
    for content in (message["content"], again["content"]):
        assert content[0]["thinking"] == ""
        assert SEALS.open(content[0]["signature"]) == "secret plan"
        assert content[1] == {"type": "text", "text": "yes"}
    assert "secret" not in json.dumps(events)
    assert [event["delta"]["type"] for event in events if "delta" in event and "index" in event] == [
        "signature_delta",
        "text_delta",
    ]


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (finished("stop"), ("end_turn", None)),
        (finished("stop", stop="END"), ("stop_sequence", "END")),
        (finished("length"), ("max_tokens", None)),
        (finished("length", trace_cut=True), ("max_tokens", None)),
    ],
)
async def test_the_end_has_its_reason(end, expected):
    message = await whole(ANSWER, end)
    assert (message["stop_reason"], message["stop_sequence"]) == expected
    delta = (await streamed(ANSWER, end))[-2]["delta"]
    assert (delta["stop_reason"], delta["stop_sequence"]) == expected


async def test_a_call_that_was_cut_is_in_the_stream_and_not_in_the_whole():
    half = [CALL, ToolCallDelta(0, '{"a":'), finished("length")]
    check_stream(await streamed(*half))
    assert (await whole(*half))["content"] == []


async def test_a_call_whose_end_comes_late_holds_back_what_is_behind_it():
    late = [
        CALL,
        ToolCallDelta(0, '{"a":'),
        ToolCallStart(1, "call_1", "g"),
        ToolCallDelta(1, "{}"),
        ToolCallDelta(0, " 1}"),
        finished("tool_calls"),
    ]
    events = await streamed(*late)
    check_stream(events)
    assert joined(without_pings(events))["content"] == (await whole(*late))["content"]
    assert [block["input"] for block in (await whole(*late))["content"]] == [{"a": 1}, {}]


async def test_a_number_too_long_for_python_is_no_reason_to_drop_a_call():
    blocks = Blocks()
    for event in (CALL, ToolCallDelta(0, '{"a": %s}' % ("1" * 5000))):
        blocks.take(event)
    assert blocks.all[0].whole


async def test_white_space_alone_is_no_block():
    for events in ([TextDelta(" \n"), CALL, ARGUMENTS, finished("tool_calls")], [TextDelta("\n"), finished()]):
        message = await whole(*events)
        assert "text" not in [block["type"] for block in message["content"]]
        assert joined(without_pings(await streamed(*events)))["content"] == message["content"]
    spaced = [TextDelta(" "), ANSWER, TextDelta(" "), finished()]
    assert (await whole(*spaced))["content"] == [{"type": "text", "text": " yes "}]


@st.composite
def messages(draw: st.DrawFn) -> list:
    """A trace, then text and calls, then the end; pieces as an engine gives them."""
    events: list = [ReasoningDelta(text) for text in draw(st.lists(SOLID, max_size=3))]
    events += [TextDelta(text) for text in draw(st.lists(TEXT, max_size=3))]
    calls = draw(st.integers(0, 3))
    for call in range(calls):
        arguments = json.dumps({"x": draw(TEXT)})
        cut = draw(st.integers(0, len(arguments)))
        events.append(ToolCallStart(call, f"call_{call}", "f"))
        events += [ToolCallDelta(call, piece) for piece in (arguments[:cut], arguments[cut:]) if piece]
    return [*events, finished("tool_calls" if calls else draw(st.sampled_from(["stop", "length"])))]


@given(messages(), st.booleans())
async def test_a_stream_and_a_whole_message_say_the_same(events, omit):
    thinking = {"type": "adaptive", "display": "omitted" if omit else "summarized"}
    message = await whole(*events, thinking=thinking)
    parts = await streamed(*events, thinking=thinking)
    for event in without_pings(parts):
        validate(RawMessageStreamEvent, event)
    again = joined(without_pings(parts))
    if omit:
        for block in (*message["content"], *again["content"]):
            if block["type"] == "thinking":
                block["signature"] = SEALS.open(block["signature"])
    assert again == message
