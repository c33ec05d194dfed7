import pytest
from fathom.cli.bench_figures import figures, percentile, reasons, spread
from fathom.cli.bench_load import Level
from fathom.cli.bench_stream import Answer
from fathom.cli.wire import OutputDetails, PromptDetails, Usage


def answer(tokens: int = 10, trace: int = 4, *, prompt: int | None = 100, cached: int | None = 25) -> Answer:
    """Ten seconds long, a trace from the first second on and an answer from the sixth."""
    usage = Usage(prompt, tokens, PromptDetails(cached), OutputDetails(trace))
    gaps = [1.0] * 9
    return Answer(1.0, 6.0, 10.0, 10.0, gaps, trace_chunks=5, answer_chunks=5, usage=usage, reason="stop")


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(1, 0.5, 1), (1, 0.99, 1), (2, 0.5, 1), (3, 0.5, 2), (4, 0.5, 2), (100, 0.99, 99), (101, 0.99, 100), (10, 0.9, 9)],
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    count: int, share: float, expected: float
) -> None:
    assert percentile(list(map(float, range(1, count + 1))), share) == expected


def test_a_spread_is_of_the_times_that_are_known() -> None:
    found = spread([3.0, None, 1.0, 2.0])
    assert found is not None
    assert (found.mean, found.p50, found.p90, found.p99, found.longest) == (2, 2, 3, 3, 3)
    assert spread([None]) is None


def test_rates_are_over_the_time_of_the_whole_level() -> None:
    found = figures(Level(2, 2, [answer(), answer()], seconds=10.0, busy=1.0))
    assert (found.output_tokens_per_second, found.reasoning_tokens_per_second) == (2.0, 0.8)
    assert found.answer_tokens_per_second == pytest.approx(1.2)
    assert (found.requests_per_second, found.client_busy) == (0.2, 0.1)


def test_times_are_of_first_tokens_chunks_and_whole_answers() -> None:
    found = figures(Level(1, 1, [answer(tokens=19)], seconds=10.0))
    times = found.time_to_first_token, found.time_to_first_answer_token, found.between_chunks, found.whole_answer
    assert [time and time.p50 for time in times] == [1.0, 6.0, 1.0, 10.0]
    assert found.per_output_token is not None
    assert found.per_output_token.p50 == 0.5


def test_prompt_tokens_are_told_only_where_every_answer_tells_them() -> None:
    told = figures(Level(1, 2, [answer(), answer()], seconds=1.0))
    assert (told.prompt_tokens, told.cached_tokens) == (200, 50)
    untold = figures(Level(1, 2, [answer(), answer(prompt=None, cached=None)], seconds=1.0))
    assert (untold.prompt_tokens, untold.cached_tokens) == (None, None)


def test_failures_count_in_no_rate() -> None:
    found = figures(Level(1, 3, [answer()], ["500: broken", "500: broken"], seconds=10.0))
    assert (found.answered, found.failed, found.output_tokens_per_second) == (1, 2, 1.0)


def test_a_level_of_failures_alone_has_no_times() -> None:
    found = figures(Level(1, 1, [], ["broken"], seconds=1.0))
    assert (found.time_to_first_token, found.output_tokens, found.prompt_tokens) == (None, 0, None)


def test_failures_that_differ_in_numbers_alone_are_one_reason() -> None:
    failures = ["gone", "429: wait 3 s", "429: wait 12.5 s", "429: wait 4 s"]
    assert list(reasons(failures).items()) == [("429: wait 3 s", 3), ("gone", 1)]
