import json

import pytest
from fathom.api.openai.responses.reasoning_output import TraceOptions
from fathom.core.errors import BadRequest, EngineUnavailable
from fathom.core.events import (
    Finished,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    Tokens,
    ToolCallDelta,
    ToolCallStart,
)

from tests.responses_stream import check_stream
from tests.unit.api.openai.responses.making import SEALS, kept, played, shown, transcript

DONE = Finished("stop", 5, 7, 2, 3)
BEGIN = ["created", "in_progress"]
TRACE_BEGIN = ["output_item.added", "content_part.added"]
TRACE_END = ["reasoning_text.done", "content_part.done", "output_item.done"]
TEXT_BEGIN = ["output_item.added", "content_part.added"]
TEXT_END = ["output_text.done", "content_part.done", "output_item.done"]
CALL_END = ["function_call_arguments.done", "output_item.done"]


def kinds(frames) -> list[str]:
    return [frame.kind.removeprefix("response.") for frame in frames]


def test_a_trace_and_an_answer_come_in_the_order_that_clients_expect():
    frames = played(transcript(), [ReasoningDelta("Let"), ReasoningDelta(" me"), TextDelta("Yes"), DONE])
    trace = [*TRACE_BEGIN, "reasoning_text.delta", "reasoning_text.delta", *TRACE_END]
    assert kinds(frames) == [*BEGIN, *trace, *TEXT_BEGIN, "output_text.delta", *TEXT_END, "completed"]
    check_stream(shown(frames))


def test_a_summary_that_was_asked_for_comes_beside_the_trace():
    frames = played(transcript(TraceOptions(summary=True)), [ReasoningDelta("Let"), DONE])
    assert kinds(frames)[2:-1] == [
        *("output_item.added", "content_part.added", "reasoning_summary_part.added"),
        *("reasoning_text.delta", "reasoning_summary_text.delta"),
        *("reasoning_text.done", "reasoning_summary_text.done"),
        *("content_part.done", "reasoning_summary_part.done", "output_item.done"),
    ]
    assert shown(frames)[-1]["response"]["output"][0]["summary"] == [{"type": "summary_text", "text": "Let"}]
    check_stream(shown(frames))


def test_calls_are_items_of_their_own_with_the_ids_that_results_name():
    calls = [
        ToolCallStart(0, "call_a", "f"),
        ToolCallDelta(0, "{"),
        ToolCallDelta(0, "}"),
        ToolCallStart(1, "call_b", "g"),
    ]
    frames = played(transcript(), [*calls, ToolCallDelta(1, "{}"), Finished("tool_calls", 5, 7)])
    delta = "function_call_arguments.delta"
    first, second = ["output_item.added", delta, delta, *CALL_END], ["output_item.added", delta, *CALL_END]
    assert kinds(frames) == [*BEGIN, *first, *second, "completed"]
    added = shown(frames)[2]["item"]
    assert added | {"id": ""} == {
        "id": "",
        "type": "function_call",
        "status": "in_progress",
        "call_id": "call_a",
        "name": "f",
        "arguments": "",
    }
    done = shown(frames)[5]
    assert (done["name"], done["arguments"]) == ("f", "{}")
    assert [item["call_id"] for item in shown(frames)[-1]["response"]["output"]] == ["call_a", "call_b"]
    check_stream(shown(frames))


def test_a_second_trace_behind_an_answer_is_an_item_of_its_own():
    one = transcript()
    played(one, [ReasoningDelta("a"), TextDelta("b"), ReasoningDelta("c"), TextDelta("d"), DONE])
    assert [item["type"] for item in one.body()["output"]] == ["reasoning", "message", "reasoning", "message"]


def test_a_response_that_completes_has_its_usage_and_its_time():
    one = transcript()
    played(one, [TextDelta("x"), DONE])
    body = one.body()
    assert body["status"] == "completed"
    assert body["completed_at"] >= body["created_at"]
    assert body["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 12,
    }


def test_an_answer_that_was_cut_is_incomplete():
    frames = played(transcript(), [ReasoningDelta("a"), TextDelta("b"), Finished("length", 5, 7)])
    final = shown(frames)[-1]
    assert final["type"] == "response.incomplete"
    assert final["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert [item["status"] for item in final["response"]["output"]] == ["completed", "incomplete"]
    check_stream(shown(frames))


def test_a_trace_that_was_cut_is_incomplete_and_no_message():
    frames = played(transcript(), [ReasoningDelta("a"), Finished("length", 5, 7, 0, 7, trace_cut=True)])
    output = shown(frames)[-1]["response"]["output"]
    assert [(item["type"], item["status"]) for item in output] == [("reasoning", "incomplete")]
    check_stream(shown(frames))


@pytest.mark.parametrize(
    ("error", "code"),
    [(EngineUnavailable("The engine died."), "server_error"), (BadRequest("Too long."), "invalid_prompt")],
)
def test_a_failure_closes_what_is_open_and_says_why(error, code):
    one = transcript()
    frames = [*played(one, [TextDelta("half")]), *one.fail(error)]
    assert kinds(frames)[-4:] == [*TEXT_END, "failed"]
    assert one.body()["error"] == {"code": code, "message": error.message}
    assert one.terminal
    check_stream(shown(frames))


def test_a_cancelled_response_says_so():
    one = transcript()
    frames = [*played(one, [ReasoningDelta("half")]), *one.cancel()]
    assert kinds(frames)[-4:] == [*TRACE_END, "cancelled"]
    assert one.body()["status"] == "cancelled"
    check_stream(shown(frames))


def test_a_background_response_is_queued_first():
    one = transcript(background=True)
    assert kinds(one.created()) == ["created", "queued"]
    assert one.body()["status"] == "queued"
    assert kinds(one.started()) == ["in_progress"]
    assert one.body()["status"] == "in_progress"


def test_frames_are_numbered_from_where_an_earlier_attempt_ended():
    frames = played(transcript(number=40), [TextDelta("x"), DONE])
    assert [frame.number for frame in frames] == list(range(40, 40 + len(frames)))
    assert [event["sequence_number"] for event in shown(frames)] == [frame.number for frame in frames]


def test_a_hidden_trace_leaves_an_item_without_text():
    frames = played(transcript(TraceOptions(visible=False)), [ReasoningDelta("secret"), TextDelta("x"), DONE])
    assert kinds(frames)[2:4] == ["output_item.added", "output_item.done"]
    assert not any("secret" in frame.data.decode() + (frame.kept or b"").decode() for frame in frames)
    assert shown(frames)[-1]["response"]["usage"]["output_tokens_details"]["reasoning_tokens"] == 3


def test_a_sealed_trace_can_be_opened_by_this_server_alone():
    frames = played(transcript(TraceOptions(seals=SEALS)), [ReasoningDelta("secret"), TextDelta("x"), DONE])
    done = next(event["item"] for event in shown(frames) if event["type"] == "response.output_item.done")
    assert SEALS.open(done["encrypted_content"]) == "secret"
    assert shown(frames)[-1]["response"]["output"][0] == done
    assert "encrypted_content" not in shown(frames)[2]["item"]


def test_a_trace_that_is_not_to_be_seen_can_still_be_sealed():
    options = TraceOptions(visible=False, seals=SEALS)
    one = transcript(options)
    played(one, [ReasoningDelta("secret"), TextDelta("x"), DONE])
    item = one.shown()["output"][0]
    assert item["content"] == []
    assert SEALS.open(item["encrypted_content"]) == "secret"


@pytest.mark.parametrize(
    ("keeping", "digest"),
    [("drop", None), ("hash", "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b")],
)
def test_a_trace_is_shown_to_its_client_and_not_kept(keeping, digest):
    one = transcript(TraceOptions(summary=True, seals=SEALS, keeping=keeping))
    frames = played(one, [ReasoningDelta("secret"), TextDelta("x"), DONE])
    assert "secret" in one.shown()["output"][0]["content"][0]["text"]
    assert "secret" not in json.dumps([kept(frames), one.body()])
    expected = {"type": "reasoning", "summary": [], "content": [], "status": "completed"}
    expected |= {"trace_sha256": digest} if digest else {}
    assert one.body()["output"][0] == {"id": one.body()["output"][0]["id"], **expected}
    assert kept(frames)[-1]["response"] == one.body()
    texts = [event["type"] for event in kept(frames) if "reasoning" in event["type"]]
    assert texts == []


def test_logprobs_come_with_their_pieces_and_all_together_at_the_end():
    logprob = TokenLogprob(7, b"\xc3", -0.5, (TokenLogprob(7, b"\xc3", -0.5), TokenLogprob(8, b"x", -1.25)))
    frames = played(transcript(), [TextDelta("a", 0, (logprob,)), TextDelta("b", 0, (logprob,)), DONE])
    deltas = [event["logprobs"] for event in shown(frames) if event["type"] == "response.output_text.delta"]
    assert [len(each) for each in deltas] == [1, 1]
    assert deltas[0][0]["top_logprobs"][1] == {"token": "x", "logprob": -1.25, "bytes": [120]}
    assert shown(frames)[-1]["response"]["output"][0]["content"][0]["logprobs"] == deltas[0] + deltas[1]
    check_stream(shown(frames))


def test_what_says_nothing_to_a_client_makes_no_frames():
    assert transcript().take(Tokens((1, 2))) == []
