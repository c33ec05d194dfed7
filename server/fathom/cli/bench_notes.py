"""What a reader of a benchmark's figures has to know of them, where it is not what was asked for."""

from collections.abc import Iterator, Sequence

from fathom.cli.bench_figures import Figures
from fathom.cli.bench_plan import Plan, in_words

_TOO_BUSY = 0.8  # of a core: from there on the client may be what is slow


def notes(plan: Plan, levels: Sequence[Figures]) -> Iterator[str]:
    for level in levels:
        if level.failed:
            yield _failures(level)
    answered = sum(level.answered for level in levels)
    if uncounted := sum(level.uncounted for level in levels):
        yield f"the server sent no usage for {uncounted} of {answered} answers: chunks are counted in place of tokens"
    if guessed := sum(level.trace_uncounted for level in levels):
        yield f"the server does not count the trace of {guessed} of {answered} answers: it is taken from chunks"
    if answered:
        yield from _wishes(plan, levels, answered)
    for level in levels:
        if level.client_busy > _TOO_BUSY:
            yield (
                f"{in_words(level.streams)}: the benchmark itself took {level.client_busy:.0%} of a CPU core; "
                "the server may be faster than this"
            )


def _failures(level: Figures) -> str:
    reason, times = next(iter(level.reasons.items()))
    most = "" if times == level.failed else f", {times} of them so"
    return (
        f"{in_words(level.streams)}: {level.failed} of {level.answered + level.failed} requests failed{most}: {reason}"
    )


def _wishes(plan: Plan, levels: Sequence[Figures], answered: int) -> Iterator[str]:
    """What was wished for and did not come."""
    silent = sum(level.without_answer for level in levels)
    thought = sum(level.with_trace for level in levels)
    if silent:
        yield f"{silent} of {answered} came without an answer (cut inside the trace, or empty); see --max-tokens"
    if plan.thinking is False and thought:
        yield f"{thought} of {answered} answers have a trace though thinking is off: the server knows no switch"
    if plan.thinking and not thought:
        yield "no answer has a trace though thinking is on: the model has none, or the server does not show it"
    early = answered - sum(level.cut_at_limit for level in levels)
    if plan.ignore_eos and early:
        yield f"{early} of {answered} answers ended before --max-tokens: the server does not know ignore_eos"
