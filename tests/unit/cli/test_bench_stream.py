import json
from itertools import pairwise
from typing import Any

import pytest
from fathom.cli.bench_stream import Answer, Content, Reader
from fathom.cli.wire import NoAnswer
from hypothesis import given
from hypothesis import strategies as st

DONE = b"data: [DONE]\n\n"


def frame(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields, ensure_ascii=False).encode() + b"\n\n"


def delta(**fields: str) -> bytes:
    return frame(choices=[{"index": 0, "delta": fields, "finish_reason": None}])


def contents(*texts: str) -> list[bytes]:
    return [delta(content=text) for text in texts]


def read(*pieces: bytes) -> Answer:
    """A piece each second, the first after one second."""
    reader = Reader()
    for second, piece in enumerate(pieces, 1):
        reader.feed(piece, float(second))
    return reader.end(float(len(pieces)))


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_a_trace_in_a_field_of_its_own_is_timed_apart_from_the_answer(name: str) -> None:
    answer = read(
        delta(role="assistant", content=""), delta(**{name: "Hm"}), delta(**{name: "."}), delta(content="Yes"), DONE
    )
    assert (answer.first, answer.first_answer, answer.seconds) == (2, 4, 5)
    assert (answer.trace_chunks, answer.answer_chunks, answer.gaps) == (2, 1, [1, 1])


def test_both_names_in_one_chunk_are_one_chunk() -> None:
    assert read(delta(reasoning_content="Hm", reasoning="Hm"), DONE).trace_chunks == 1


@pytest.mark.parametrize(
    ("texts", "trace", "first_answer"),
    [
        (["<think>", "Hm", "</think>", "\n\n", "Yes"], 3, 5),
        (["<th", "ink>Hm", "</thi", "nk>", "Yes"], 4, 5),
        (["\n", "<think>Hm</think>Yes"], 1, 2),
        (["Hm", ".", "</think>", "Yes"], 3, 4),
        (["Hm.</think>Yes"], 0, 1),
        (["<think>", "Hm", "."], 3, None),
        (["Yes", "."], 0, 1),
        (["a <", " b"], 0, 1),
        (["See <think>", " here"], 0, 1),
        (["<think>Hm</think>", "Write </think>", "!"], 1, 2),
    ],
)
def test_a_trace_inside_the_content_is_told_by_its_delimiters(
    texts: list[str], trace: int, first_answer: float | None
) -> None:
    answer = read(*contents(*texts), DONE)
    assert (answer.trace_chunks, answer.first_answer) == (trace, first_answer)
    assert (answer.chunks, answer.first) == (len(texts), 1)


def test_delimiters_behind_a_trace_of_its_own_field_are_text() -> None:
    answer = read(delta(reasoning="Hm"), *contents("Write ", "</think>"), DONE)
    assert (answer.trace_chunks, answer.answer_chunks, answer.first_answer) == (1, 2, 2)


@given(st.lists(st.integers(0, 40), max_size=8))
def test_how_content_is_cut_does_not_change_what_is_trace(cuts: list[int]) -> None:
    text = "<think>Why? Because.</think>\n\nThe sky is blue."
    edges = [0, *sorted(cuts), len(text)]
    content = Content()
    assert any(content.feed(text[begin:end]) for begin, end in pairwise(edges))
    assert not content.thinking


def test_a_blank_answer_has_no_first_token_of_the_answer() -> None:
    answer = read(*contents("\n", " "), DONE)
    assert (answer.first, answer.first_answer, answer.answer_chunks) == (1, None, 2)


def test_the_servers_count_goes_before_ours() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 4}}
    answer = read(delta(reasoning="Hm"), *contents("a", "b"), frame(choices=[], usage=usage), DONE)
    assert (answer.tokens, answer.trace_tokens, answer.counted, answer.trace_counted) == (7, 4, True, True)


def test_without_usage_chunks_are_counted() -> None:
    answer = read(delta(reasoning="Hm"), *contents("a", "b"), DONE)
    assert (answer.tokens, answer.trace_tokens, answer.counted, answer.trace_counted) == (3, 1, False, False)


@pytest.mark.parametrize("details", [None, {"reasoning_tokens": None}, {"reasoning_tokens": 0}])
def test_a_trace_that_the_server_does_not_count_is_its_share_of_the_chunks(details: object) -> None:
    usage = {"completion_tokens": 8, "completion_tokens_details": details}
    answer = read(delta(reasoning="Hm"), *contents("a", "b", "c"), frame(choices=[], usage=usage), DONE)
    assert (answer.trace_tokens, answer.trace_counted) == (2, False)


def test_usage_that_comes_with_every_chunk_is_that_of_the_last() -> None:
    usages = [frame(choices=[], usage={"completion_tokens": count}) for count in (1, 2, 3)]
    assert read(*usages, DONE).tokens == 3


def test_the_cached_part_of_a_prompt_is_read() -> None:
    usage = {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 8}}
    assert read(frame(choices=[], usage=usage), DONE).usage.cached_tokens == 8


def test_comments_and_other_fields_are_no_chunks() -> None:
    answer = read(b": keep-alive\n\n", b"event: ping\ndata: {}\n\n", *contents("Yes"), DONE)
    assert (answer.chunks, answer.first) == (1, 3)


def test_a_stream_without_its_done_is_whole_if_it_said_why_it_ended() -> None:
    end = frame(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    assert read(*contents("Yes"), end).reason == "stop"


@pytest.mark.parametrize("pieces", [[], [b'{"choices": []}\n'], contents("Half")])
def test_a_stream_that_ends_early_is_no_answer(pieces: list[bytes]) -> None:
    with pytest.raises(NoAnswer, match="the stream ended before its answer did"):
        read(*pieces)


@pytest.mark.parametrize("error", [{"message": "It broke.", "code": 500}, "It broke."])
def test_an_error_in_the_stream_is_no_answer(error: object) -> None:
    with pytest.raises(NoAnswer, match=r"^It broke\.$"):
        read(*contents("Half"), frame(error=error), DONE)
