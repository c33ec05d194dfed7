"""The arithmetic of a benchmark: from answers to figures."""

import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from fathom.cli.bench_load import Level
from fathom.cli.bench_stream import Answer


class Spread(msgspec.Struct, frozen=True):
    """Of times, in seconds. Percentiles are times that were measured: of fewer than 100, p99 is the longest."""

    mean: float
    p50: float
    p90: float
    p99: float
    longest: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Of one level. Tokens, rates and times are of the requests that were answered; a figure that the server does not
    tell is None. output_tokens: with those of the trace. chunks: pieces of text that came. reasons: of failures, with
    how many failed so. client_busy: share of a CPU core that the benchmark itself took."""

    streams: int
    requests: int
    answered: int
    failed: int
    reasons: dict[str, int]
    seconds: float
    requests_per_second: float
    output_tokens_per_second: float
    reasoning_tokens_per_second: float
    answer_tokens_per_second: float
    time_to_first_token: Spread | None
    time_to_first_answer_token: Spread | None
    between_chunks: Spread | None
    per_output_token: Spread | None
    whole_answer: Spread | None
    prompt_tokens: int | None
    cached_tokens: int | None
    output_tokens: int
    reasoning_tokens: int
    chunks: int
    uncounted: int
    trace_uncounted: int
    without_answer: int
    with_trace: int
    cut_at_limit: int
    client_busy: float


def figures(level: Level) -> Figures:
    """The level may have been cut short, or have failed as a whole."""
    answers = level.answers
    output, trace = sum(answer.tokens for answer in answers), sum(answer.trace_tokens for answer in answers)
    per_second = 1 / level.seconds if level.seconds else 0.0
    return Figures(
        streams=level.streams,
        requests=level.requests,
        answered=len(answers),
        failed=len(level.failures),
        reasons=reasons(level.failures),
        seconds=level.seconds,
        requests_per_second=len(answers) * per_second,
        output_tokens_per_second=output * per_second,
        reasoning_tokens_per_second=trace * per_second,
        answer_tokens_per_second=(output - trace) * per_second,
        time_to_first_token=spread(answer.first for answer in answers),
        time_to_first_answer_token=spread(answer.first_answer for answer in answers),
        between_chunks=spread(gap for answer in answers for gap in answer.gaps),
        per_output_token=spread(_per_token(answer) for answer in answers),
        whole_answer=spread(answer.seconds for answer in answers),
        prompt_tokens=_told([answer.usage.prompt_tokens for answer in answers]),
        cached_tokens=_told([answer.usage.cached_tokens for answer in answers]),
        output_tokens=output,
        reasoning_tokens=trace,
        chunks=sum(answer.chunks for answer in answers),
        uncounted=sum(not answer.counted for answer in answers),
        trace_uncounted=sum(not answer.trace_counted for answer in answers),
        without_answer=sum(answer.first_answer is None for answer in answers),
        with_trace=sum(answer.trace_tokens > 0 for answer in answers),
        cut_at_limit=sum(answer.reason == "length" for answer in answers),
        client_busy=level.busy * per_second,
    )


def spread(times: Iterable[float | None]) -> Spread | None:
    """Of those that are known; None where none is."""
    known = sorted(time for time in times if time is not None)
    if not known:
        return None
    p50, p90, p99 = (percentile(known, share) for share in (0.5, 0.9, 0.99))
    return Spread(mean=statistics.fmean(known), p50=p50, p90=p90, p99=p99, longest=known[-1])


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that so many of them do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]


def reasons(failures: Iterable[str]) -> dict[str, int]:
    """The most frequent first. Those that differ in numbers alone are one, in the words of the first."""
    words: dict[str, str] = {}
    counts = Counter(words.setdefault(re.sub(r"\d+(\.\d+)?", "0", failure), failure) for failure in failures)
    return dict(counts.most_common())


def _per_token(answer: Answer) -> float | None:
    """From the first token on."""
    if answer.first is None or answer.tokens < 2:
        return None
    return (answer.last - answer.first) / (answer.tokens - 1)


def _told(counts: Sequence[int | None]) -> int | None:
    """Their sum, if the server told every one of them."""
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None
