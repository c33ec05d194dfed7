from dataclasses import dataclass

from fathom.core.events import Finished, ReasoningDelta, TextDelta, Tokens, ToolCallDelta, ToolCallStart
from fathom.core.generation import Sampling
from fathom.engine.detokenizer import Detokenizer, TokenBytes
from fathom.engine.reader import TurnReader
from fathom.engine.reasoning import Delimiter, ReasoningMachine

PROMPT = 3


def reader(tokenizer, *, thinking=True, reasons=True, stop=(), logprobs=None, **more) -> TurnReader:
    ids = tokenizer.convert_tokens_to_ids
    delimiters = [Delimiter(text, ids(text)) for text in ("<think>", "</think>")]
    backend = tokenizer.backend_tokenizer
    return TurnReader(
        Detokenizer(TokenBytes(backend), [5, 6, 7]),
        TokenBytes(backend),
        machine=ReasoningMachine(*delimiters, thinking=thinking) if reasons else None,
        sampling=Sampling(stop=stop, logprobs=logprobs),
        **more,
    )


def encode(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)


def test_tokens_become_trace_answer_and_counts(tokenizer):
    turn = reader(tokenizer)
    ids = encode(tokenizer, "hello</think>world")
    events = [*turn.read(ids), *turn.finish("stop", PROMPT, cached_tokens=2)]
    assert events[:2] == [ReasoningDelta("hello"), TextDelta("world")]
    thought = len(encode(tokenizer, "hello")) + 1
    assert events[2] == Finished("stop", 3, len(ids), cached_tokens=2, reasoning_tokens=thought)


def test_the_end_of_sequence_token_counts_and_is_no_text(tokenizer):
    turn = reader(tokenizer, reasons=False)
    end = tokenizer.eos_token_id
    events = [*turn.read([*encode(tokenizer, "blue"), end], ended=True), *turn.finish("stop", PROMPT)]
    assert events[0] == TextDelta("blue")
    assert events[-1].completion_tokens == len(encode(tokenizer, "blue")) + 1


def test_pieces_of_one_read_come_as_one_event(tokenizer):
    turn = reader(tokenizer, reasons=False)
    assert list(turn.read(encode(tokenizer, "the sky is blue"))) == [TextDelta("the sky is blue")]


def test_a_stop_string_ends_the_answer_and_leaves_the_trace_alone(tokenizer):
    turn = reader(tokenizer, stop=("sky",))
    events = list(turn.read(encode(tokenizer, "the sky</think>the sky is blue")))
    assert events == [ReasoningDelta("the sky"), TextDelta("the ")]
    assert turn.stopped
    assert list(turn.finish("length", PROMPT))[-1].reason == "stop"


def test_the_end_says_which_stop_string_it_was(tokenizer):
    turn = reader(tokenizer, reasons=False, stop=("blue", "sky"))
    list(turn.read(encode(tokenizer, "hello sky blue")))
    assert list(turn.finish("stop", PROMPT))[-1].stop == "sky"
    other = reader(tokenizer, reasons=False, stop=("sky",))
    list(other.read(encode(tokenizer, "blue")))
    assert list(other.finish("stop", PROMPT))[-1].stop is None


def test_tokens_behind_a_stop_string_are_not_counted(tokenizer):
    turn = reader(tokenizer, reasons=False, stop=("hello",))
    list(turn.read(encode(tokenizer, "hello world, the sky is blue")))
    finished = list(turn.finish("stop", PROMPT))[-1]
    assert finished.completion_tokens == len(encode(tokenizer, "hello"))


def test_text_held_back_for_a_stop_string_comes_at_the_end(tokenizer):
    turn = reader(tokenizer, reasons=False, stop=("blueberry",))
    assert list(turn.read(encode(tokenizer, "is blue"))) == [TextDelta("is ")]
    assert next(turn.finish("stop", PROMPT)) == TextDelta("blue")


def test_a_trace_of_its_whole_budget_is_told_from_one_that_ended_by_itself(tokenizer):
    thought = encode(tokenizer, "hello world")
    for budget, exhausted in ((len(thought), True), (len(thought) + 1, False)):
        turn = reader(tokenizer, most_reasoning=budget + 1)
        list(turn.read([*thought, *encode(tokenizer, "</think>yes")]))
        assert list(turn.finish("stop", PROMPT))[-1].budget_exhausted is exhausted


def test_a_trace_that_the_limit_cuts_is_told(tokenizer):
    for text, cut in (("hello", True), ("hello</think>world", False)):
        turn = reader(tokenizer)
        list(turn.read(encode(tokenizer, text)))
        assert list(turn.finish("length", PROMPT))[-1].trace_cut is cut


def test_token_ids_come_before_their_text_and_hold_the_end_of_the_turn(tokenizer):
    turn = reader(tokenizer, reasons=False, report_ids=True)
    ids = [*encode(tokenizer, "blue"), tokenizer.eos_token_id]
    assert list(turn.read(ids, ended=True)) == [Tokens(tuple(ids[:-1])), TextDelta("blue")]
    *rest, finished = turn.finish("stop", PROMPT)
    assert rest == [Tokens((tokenizer.eos_token_id,))]
    assert finished.completion_tokens == len(ids)


def test_an_end_that_something_follows_is_neither_counted_nor_reported(tokenizer):
    """As of a turn that ended in its trace and is asked for its answer."""
    turn = reader(tokenizer, reasons=False, report_ids=True)
    blue, sky = encode(tokenizer, "blue"), encode(tokenizer, "sky")
    events = [*turn.read([*blue, tokenizer.eos_token_id], ended=True), *turn.read(sky), *turn.finish("length", PROMPT)]
    assert [id_ for event in events if isinstance(event, Tokens) for id_ in event.ids] == [*blue, *sky]
    assert events[-1].completion_tokens == len(blue) + len(sky)


class Calls:
    """Takes every "hello" for a call."""

    def __init__(self) -> None:
        self.calls = 0

    def feed(self, text: str, token_id: int):
        if text != "hello":
            return [TextDelta(text)]
        self.calls += 1
        return [ToolCallStart(self.calls - 1, f"call_{self.calls}", "f"), ToolCallDelta(self.calls - 1, "{}")]

    def finish(self, *, cut: bool):
        return []


def test_a_draft_of_a_call_in_the_trace_is_no_call(tokenizer):
    turn = reader(tokenizer, calls=Calls())
    events = list(turn.read(encode(tokenizer, "hello</think>hello")))
    assert events == [ReasoningDelta("hello"), ToolCallStart(0, "call_1", "f"), ToolCallDelta(0, "{}")]
    assert list(turn.finish("stop", PROMPT))[-1].reason == "tool_calls"


def test_a_call_too_many_ends_the_turn(tokenizer):
    turn = reader(tokenizer, reasons=False, calls=Calls(), parallel_calls=False)
    hello = encode(tokenizer, "hello")
    events = list(turn.read([*hello, *hello]))
    assert [event for event in events if isinstance(event, ToolCallStart)] == [ToolCallStart(0, "call_1", "f")]
    assert turn.stopped
    assert list(turn.finish("length", PROMPT))[-1].reason == "tool_calls"


def test_a_stop_string_in_arguments_stops_nothing(tokenizer):
    turn = reader(tokenizer, reasons=False, calls=Calls(), stop=("{}",))
    list(turn.read(encode(tokenizer, "hello")))
    assert not turn.stopped


@dataclass
class Place:
    logprob: float
    rank: int | None = 1


def test_logprobs_come_with_the_text_of_their_tokens_and_none_of_a_delimiter(tokenizer):
    turn = reader(tokenizer, logprobs=1)
    ids = encode(tokenizer, "the sky</think>is blue")
    places = [{token_id: Place(-0.5), 9: Place(-2.0, 2)} for token_id in ids]
    trace, answer = turn.read(ids, places)
    assert "".join(each.text for each in trace.logprobs) == "the sky"
    assert "".join(each.text for each in answer.logprobs) == "is blue"
    assert len(trace.logprobs) + len(answer.logprobs) == len(ids) - 1
    assert {each.logprob for each in answer.logprobs} == {-0.5}
    assert [len(each.top) for each in answer.logprobs] == [1] * len(answer.logprobs)


def test_text_split_over_reads_keeps_every_logprob_once(tokenizer):
    turn = reader(tokenizer, reasons=False, logprobs=0, stop=("skylight",))
    ids = encode(tokenizer, "the sky is blue")
    events = [event for each in ids for event in turn.read([each], [{each: Place(-1.0)}])]
    events += turn.finish("stop", PROMPT)
    tokens = [token.token_id for event in events if isinstance(event, TextDelta) for token in event.logprobs]
    assert tokens == ids
