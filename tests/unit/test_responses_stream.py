"""The checkers of streams of Responses: right ones pass, and each kind of wrong one fails and says where."""

import json
from typing import Any

import pytest

from tests.responses_stream import check_stream, read_events
from tests.unit.test_openai_schema import changed
from tests.unit.test_responses_schema import CALL, FAILED, MESSAGE, REASONING, RESPONSE, SUMMARY, TEXT, TRACE

Events = list[dict[str, Any]]
LOGPROBS = [{"token": token, "logprob": -1.0, "bytes": [97], "top_logprobs": []} for token in ("ye", "s")]
SPOKEN = {**MESSAGE, "content": [{**TEXT, "logprobs": LOGPROBS}]}
DONE = {**RESPONSE, "output": [REASONING, SPOKEN, CALL]}


def numbered(*events: dict[str, Any], start: int = 0) -> Events:
    return [{**event, "sequence_number": start + number} for number, event in enumerate(events)]


def life(kind: str, **fields: Any) -> dict[str, Any]:
    begun = {**RESPONSE, "status": "in_progress", "completed_at": None, "usage": None, "output": []}
    return {"type": f"response.{kind}", "response": {**begun, **fields}}


def part(item: dict[str, Any], index: int, subject: str, texts: list[str], empty: dict[str, Any]) -> Events:
    """The events of one part: `subject` names those of its text."""
    summary = subject == "reasoning_summary_text"
    where = {"item_id": item["id"], "output_index": index, "summary_index" if summary else "content_index": 0}
    holder = "reasoning_summary_part" if summary else "content_part"
    whole = item["summary" if summary else "content"][0]
    logprobs = [{"logprobs": [each]} for each in whole["logprobs"]] if whole.get("logprobs") else [{} for _ in texts]
    blank = {"logprobs": []} if subject == "output_text" else {}
    told = {"logprobs": whole["logprobs"]} if "logprobs" in whole else {}
    return [
        {"type": f"response.{holder}.added", **where, "part": empty},
        *(
            {"type": f"response.{subject}.delta", **where, "delta": text, **blank, **more}
            for text, more in zip(texts, logprobs, strict=True)
        ),
        {"type": f"response.{subject}.done", **where, "text": "".join(texts), **told},
        {"type": f"response.{holder}.done", **where, "part": whole},
    ]


def item(whole: dict[str, Any], index: int, inner: Events) -> Events:
    empty = {"content": [], "summary": [], "arguments": "", "status": "in_progress"}
    begun = {name: empty.get(name, each) for name, each in whole.items()}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": begun},
        *inner,
        {"type": "response.output_item.done", "output_index": index, "item": whole},
    ]


def call(whole: dict[str, Any], index: int, *pieces: str) -> Events:
    where = {"item_id": whole["id"], "output_index": index}
    kind = "response.function_call_arguments"
    deltas = [{"type": f"{kind}.delta", **where, "delta": piece} for piece in pieces]
    done = {"type": f"{kind}.done", **where, "name": whole["name"], "arguments": "".join(pieces)}
    return item(whole, index, [*deltas, done])


HEAD = [life("created"), life("in_progress")]
THOUGHT = item(REASONING, 0, part(REASONING, 0, "reasoning_text", ["hm", " so"], {**TRACE, "text": ""}))
BLANK = {**TEXT, "text": ""}
ANSWER = item(SPOKEN, 1, part(SPOKEN, 1, "output_text", ["ye", "s"], BLANK))
CALLING = call(CALL, 2, '{"a":', " 1}")
END = {"type": "response.completed", "response": DONE}
RIGHT = numbered(*HEAD, *THOUGHT, *ANSWER, *CALLING, END)
FAILING = numbered(life("created"), {"type": "response.failed", "response": {**FAILED, "output": []}})


def summarized() -> Events:
    whole = {**REASONING, "summary": [SUMMARY]}
    trace = part(whole, 0, "reasoning_text", ["hm", " so"], {**TRACE, "text": ""})
    summary = part(whole, 0, "reasoning_summary_text", ["hm", " so"], {**SUMMARY, "text": ""})
    mixed = [event for pair in zip(trace, summary, strict=True) for event in pair]
    return numbered(*HEAD, *item(whole, 0, mixed), {**END, "response": {**RESPONSE, "output": [whole]}})


def not_kept() -> Events:
    """A later reader's stream where traces are not kept."""
    whole = {**REASONING, "content": []}
    end = {"type": "response.completed", "response": {**RESPONSE, "output": [whole]}}
    return [*numbered(*HEAD, item(whole, 0, [])[0]), *numbered(item(whole, 0, [])[1], end, start=9)]


def cancelled() -> Events:
    fields = {"background": True, "usage": None}
    queued = life("created", status="queued", **fields), life("queued", status="queued", **fields)
    return numbered(*queued, life("cancelled", status="cancelled", **fields))


def lost(kind: str = "failed", number: int = 1_000_005) -> Events:
    """A stream whose server is gone in the middle of an item."""
    end = {"response": {**FAILED, "output": []}} if kind == "failed" else {"response": {**RESPONSE, "output": []}}
    return [*RIGHT[:5], *numbered({"type": f"response.{kind}", **end}, start=number)]


@pytest.mark.parametrize("events", [RIGHT, FAILING, summarized(), not_kept(), cancelled(), lost()])
def test_right_streams_pass(events):
    check_stream(events)


@pytest.mark.parametrize("after", range(len(RIGHT)))
def test_a_stream_may_be_taken_up_after_any_event(after):
    check_stream(RIGHT[after + 1 :], after)


def test_a_lost_stream_may_be_taken_up_at_its_end():
    check_stream(lost()[5:], after=4)
    check_stream(lost()[3:], after=2)


@pytest.mark.parametrize(
    ("events", "says"),
    [
        (lost(number=5), "ends while an item is open"),
        (lost(number=99), "^sequence_number"),
        (lost("completed"), "^sequence_number"),
        ([*lost()[:3], *lost()[4:]], "^sequence_number"),
    ],
)
def test_only_a_response_that_was_lost_jumps_to_its_end(events, says):
    with pytest.raises(AssertionError, match=says):
        check_stream(events)


def without(number: int, events: Events = RIGHT) -> Events:
    return numbered(*events[:number], *events[number + 1 :])


def swapped(number: int) -> Events:
    return numbered(*RIGHT[:number], RIGHT[number + 1], RIGHT[number], *RIGHT[number + 2 :])


def doubled(number: int) -> Events:
    return numbered(*RIGHT[: number + 1], *RIGHT[number:])


def altered(number: int, path: str, value: Any = ...) -> Events:
    return [*RIGHT[:number], changed(RIGHT[number], path, value), *RIGHT[number + 1 :]]


# Where things are in RIGHT: 0 created, 1 in_progress, 2-8 the trace, 9-15 the message, 16-20 the call, 21 the end.
@pytest.mark.parametrize(
    ("events", "says"),
    [
        ([], "no events"),
        (RIGHT[:-1], "the stream ends on response.output_item.done"),
        (doubled(21), "goes on behind response.completed"),
        ([*RIGHT, *numbered(life("in_progress"), start=22)], "goes on behind response.completed"),
        (RIGHT[1:], "order is in_progress"),
        (without(1), "order is created, items"),
        (swapped(0), "order is in_progress, created"),
        (swapped(1), "order is created, items, in_progress"),
        (altered(2, "sequence_number", 3), "^sequence_number"),
        ([*RIGHT[:4], *RIGHT[5:]], r"^sequence_number: .* instead of"),
        (numbered(*RIGHT, start=1), r"^sequence_number: .* instead of"),
        (altered(1, "response.id", "resp_2"), "^response: its id"),
        (altered(1, "response.status", "queued"), "holds a response that is queued"),
        (altered(1, "response.output", ...), "^output|'output'"),
        (altered(21, "type", "response.incomplete"), "holds a response that is completed"),
        (altered(21, "type", "response.done"), "response.done: unknown"),
        (altered(4, "type", "response.refusal.delta"), "unknown"),
        (altered(4, "item_id", ...), "response.reasoning_text.delta: 'item_id' is a required"),
        (altered(11, "logprobs", ...), "response.output_text.delta: 'logprobs' is a required"),
        (altered(11, "logprobs", None), "logprobs"),
        (altered(19, "name", ...), "'name' is a required"),
        (altered(4, "item_id", "rs_2"), "not the open item"),
        (altered(4, "output_index", 1), "not the open item"),
        (altered(4, "content_index", 1), "before its part is added"),
        (altered(4, "delta", ""), "an empty delta"),
        (altered(4, "delta", "HM"), "where the deltas are"),
        (altered(6, "text", "hm"), "where the deltas are"),
        (altered(7, "part.text", "hm"), "where the deltas are"),
        (altered(13, "logprobs", []), "logprobs of"),
        (altered(8, "item.content.0.text", "hm"), "where the deltas are"),
        (altered(8, "item.content", []), "content: 1 were streamed"),
        (altered(8, "item.status", "in_progress"), "its item is in_progress"),
        (altered(2, "item.status", "completed"), "its item is completed"),
        (altered(2, "item.content", [TRACE]), "not empty"),
        (altered(3, "part.text", "hm"), "not empty"),
        (altered(3, "content_index", 1), "a part out of order"),
        (altered(9, "output_index", 2), "output_index: 2 out of order"),
        (altered(20, "item.arguments", '{"a": 2}'), "where the deltas are"),
        (altered(21, "response.output", [REASONING, SPOKEN]), "output: 3 items were streamed"),
        (altered(21, "response.output.1.content.0.text", "no"), r"^output\[1\]"),
        (without(2), "no item is open"),
        (without(3), "before its part is added"),
        (without(6), "closed before its text is told"),
        (without(7), "done while its content is open"),
        (without(8), "begins while another item is open"),
        (without(19), "done while its arguments is open"),
        (without(20), "ends while an item is open"),
        (numbered(*RIGHT[:7], RIGHT[5], *RIGHT[7:]), "a delta behind its end"),
        (doubled(6), "its end is told again"),
        (doubled(7), "closed again"),
    ],
)
def test_wrong_streams_fail_and_say_where(events, says):
    with pytest.raises(AssertionError, match=says):
        check_stream(events)


@pytest.mark.parametrize(
    ("events", "says"),
    [
        (RIGHT[4:], "^sequence_number"),
        ([*RIGHT[5:7], *RIGHT[8:]], "^sequence_number"),
        (RIGHT[5:-1], "the stream ends on"),
        ([changed(RIGHT[5], "item_id", "msg_1"), *RIGHT[6:]], "not the open item"),
        ([changed(RIGHT[5], "delta", " no"), *RIGHT[6:]], "where the deltas are"),
        ([*RIGHT[5:16], *altered(21, "response.output.2.arguments", "{}")[16:]], r"^output\[2\]"),
    ],
)
def test_a_stream_that_is_taken_up_wrongly_fails(events, says):
    with pytest.raises(AssertionError, match=says):
        check_stream(events, after=4)


def test_only_a_trace_that_is_not_kept_leaves_gaps():
    events = not_kept()
    events[-1]["response"] = {**RESPONSE, "output": [REASONING]}
    with pytest.raises(AssertionError, match=r"^sequence_number: .* instead of"):
        check_stream(events)


def frame(event: dict[str, Any]) -> str:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"


def test_frames_are_read_past_comments():
    assert read_events(": keep-alive\n\n" + ": keep-alive\n\n".join(map(frame, RIGHT))) == RIGHT


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (frame(END)[:-1], "ends inside a frame"),
        ("data: {}\n\n", "neither a frame"),
        ("data: [DONE]\n\n", "neither a frame"),
        ('event: x\nid: 1\ndata: {"type": "x"}\n\n', "neither a frame"),
        ('event: x\ndata: {"type": "y"}\n\n', "'event: x' holds an event 'y'"),
    ],
)
def test_wrong_frames_fail(text, says):
    with pytest.raises(AssertionError, match=says):
        read_events(text)
