"""Results as a table for a terminal: medians, and in brackets the ratio to the base."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.bench.results import Summary, ratio


@dataclass(frozen=True, slots=True)
class Row:
    """Of one figure: what it is called, how it is had and how many decimals are shown."""

    name: str
    value: Callable[[Summary], float]
    decimals: int = 0


OF_A_SERVER = (
    Row("start to ready, s", lambda of: of.ready, 1),
    Row("start to first token, s", lambda of: of.first_token, 1),
    Row("API process RSS, idle, MiB", lambda of: of.idle.rss),
    Row("API process RSS, after load, MiB", lambda of: of.loaded.rss),
    Row("API process PSS, idle, MiB", lambda of: of.idle.pss),
    Row("API process PSS, after load, MiB", lambda of: of.loaded.pss),
    Row("all processes PSS, after load, MiB", lambda of: of.loaded.everything),
)


def _of_a_level(streams: int) -> list[Row]:
    return [
        Row("output tokens/s", lambda of: of.at(streams).speed, 1),
        Row("TTFT p50, ms", lambda of: of.at(streams).ttft_p50),
        Row("TTFT p99, ms", lambda of: of.at(streams).ttft_p99),
        Row("ITL p50, ms", lambda of: of.at(streams).itl_p50, 1),
        Row("ITL p99, ms", lambda of: of.at(streams).itl_p99, 1),
        Row("API process CPU, µs/token", lambda of: of.at(streams).cpu),
    ]


def table(found: Sequence[Summary], base: str) -> str:
    """A column for each server. Ratios to the server named `base`, where it was measured."""
    to = next((each for each in found if each.server == base), None)
    lines = [["", *(each.server for each in found)], *_rows(OF_A_SERVER, found, to)]
    for load in found[0].loads:
        lines += [[], [_streams(load.streams)], *_rows(_of_a_level(load.streams), found, to)]
    return aligned(lines)


def _streams(count: int) -> str:
    return f"{count} stream{'s' if count > 1 else ''}"


def _rows(rows: Iterable[Row], found: Sequence[Summary], to: Summary | None) -> Iterable[list[str]]:
    for row in rows:
        yield [row.name, *(_cell(row, each, to) for each in found)]


def _cell(row: Row, of: Summary, to: Summary | None) -> str:
    value = row.value(of)
    times = ratio(value, row.value(to)) if to and to is not of else None
    return f"{value:,.{row.decimals}f} {'' if times is None else f'({times:.2f})':>7}"


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    columns = range(max(map(len, lines)))
    widths = [max(len(line[at]) for line in lines if len(line) > at) for at in columns]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=False))
        ).rstrip()
        for line in lines
    )
