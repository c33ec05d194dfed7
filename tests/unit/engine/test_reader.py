from fathom.core.events import Finished, ReasoningDelta, TextDelta
from fathom.engine.reader import TurnReader
from fathom.engine.reasoning import Delimiter


def reader(tokenizer, *, thinking=True, reasons=True, **more) -> TurnReader:
    ids = tokenizer.convert_tokens_to_ids
    delimiters = (Delimiter("<think>", ids("<think>")), Delimiter("</think>", ids("</think>"))) if reasons else None
    return TurnReader(tokenizer.backend_tokenizer, [5, 6, 7], delimiters=delimiters, thinking=thinking, **more)


def encode(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)


def test_tokens_become_trace_answer_and_counts(tokenizer):
    turn = reader(tokenizer)
    ids = encode(tokenizer, "hello</think>world")
    events = [*turn.read(ids), *turn.finish("stop", cached_tokens=2)]
    assert events[:2] == [ReasoningDelta("hello"), TextDelta("world")]
    thought = len(encode(tokenizer, "hello")) + 1
    assert events[2] == Finished("stop", 3, len(ids), cached_tokens=2, reasoning_tokens=thought)


def test_the_end_of_sequence_token_counts_and_is_no_text(tokenizer):
    turn = reader(tokenizer, reasons=False)
    end = tokenizer.eos_token_id
    events = [*turn.read([*encode(tokenizer, "blue"), end], ended=True), *turn.finish("stop")]
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
    assert list(turn.finish("length"))[-1].reason == "stop"


def test_tokens_behind_a_stop_string_are_not_counted(tokenizer):
    turn = reader(tokenizer, reasons=False, stop=("hello",))
    list(turn.read(encode(tokenizer, "hello world, the sky is blue")))
    finished = list(turn.finish("stop"))[-1]
    assert finished.completion_tokens == len(encode(tokenizer, "hello"))


def test_text_held_back_for_a_stop_string_comes_at_the_end(tokenizer):
    turn = reader(tokenizer, reasons=False, stop=("blueberry",))
    assert list(turn.read(encode(tokenizer, "is blue"))) == [TextDelta("is ")]
    assert next(turn.finish("stop")) == TextDelta("blue")


def test_a_trace_of_its_whole_budget_is_told_from_one_that_ended_by_itself(tokenizer):
    thought = encode(tokenizer, "hello world")
    for budget, exhausted in ((len(thought), True), (len(thought) + 1, False)):
        turn = reader(tokenizer, budget=budget)
        list(turn.read([*thought, *encode(tokenizer, "</think>yes")]))
        assert list(turn.finish("stop"))[-1].budget_exhausted is exhausted
