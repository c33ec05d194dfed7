"""What a benchmark says of itself: a table for people, and JSON for everything else."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from fathom import __version__
from fathom.cli.bench_figures import Figures, Spread
from fathom.cli.bench_notes import notes
from fathom.cli.bench_plan import Plan
from fathom.core.errors import StartupError

_NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Report:
    """server: its URL. interrupted: the user ended the run before its end."""

    server: str
    model: str
    began: datetime
    plan: Plan
    levels: Sequence[Figures]
    interrupted: bool

    def heading(self) -> str:
        plan = self.plan
        thinking = {None: "as the server has it", True: "on", False: "off"}[plan.thinking]
        shared = f" after {plan.shared_prefix} that all share" if plan.shared_prefix else ""
        end = "past their end, " if plan.ignore_eos else ""
        return (
            f"{self.model} at {self.server}, {self.began:%Y-%m-%d %H:%M} UTC, fathom {__version__}\n"
            f"prompts of about {plan.input_tokens} tokens{shared}, answers of at most {plan.max_tokens}, {end}"
            f"thinking {thinking}, seed {plan.seed}"
        )

    def table(self) -> Table:
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column()
        for _ in self.levels:
            table.add_column(justify="right", min_width=8)
        for name, cell in _ROWS:
            cells = [cell(level) for level in self.levels]
            if name in _ALWAYS or any(text != _NOTHING for text in cells):
                table.add_row(name, *cells)
        return table

    def notes(self) -> Iterator[str]:
        if self.interrupted:
            yield "stopped before the end; these are the requests that were answered until then"
        yield from notes(self.plan, self.levels)

    def write(self, path: Path) -> None:
        """Raises StartupError."""
        content: dict[str, Any] = {
            "fathom": __version__,
            "date": self.began.isoformat(timespec="seconds"),
            "server": self.server,
            "model": self.model,
            "interrupted": self.interrupted,
            "plan": self.plan,
            "levels": self.levels,
            "notes": list(self.notes()),
        }
        try:
            path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
        except OSError as error:
            raise StartupError(f"--json {path} cannot be written: {error.strerror}") from None


def duration(seconds: float) -> str:
    """As in `8.4 ms`, `120 ms`, `1.25 s`, `62.1 s`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.1f} ms" if seconds < 0.09995 else f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:,.1f} s"


def _rate(value: float) -> str:
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"


def _part(value: float, whole: int) -> str:
    return _rate(value) if whole else _NOTHING


def _time(of: Callable[[Figures], Spread | None], which: Callable[[Spread], float]) -> Callable[[Figures], str]:
    def cell(level: Figures) -> str:
        times = of(level)
        return duration(which(times)) if times else _NOTHING

    return cell


def _mean(total: int | None, level: Figures) -> str:
    return f"{total / level.answered:,.0f}" if total is not None and level.answered else _NOTHING


def _cached(level: Figures) -> str:
    if level.cached_tokens is None or not level.prompt_tokens:
        return _NOTHING
    return f"{level.cached_tokens / level.prompt_tokens:.0%}"


_ROWS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("streams", lambda level: f"{level.streams:,}"),
    ("requests answered", lambda level: f"{level.answered:,}"),
    ("requests failed", lambda level: f"{level.failed:,}" if level.failed else _NOTHING),
    ("seconds", lambda level: f"{level.seconds:,.1f}"),
    ("output tokens/s", lambda level: _part(level.output_tokens_per_second, level.answered)),
    ("  reasoning tokens/s", lambda level: _part(level.reasoning_tokens_per_second, level.reasoning_tokens)),
    ("  answer tokens/s", lambda level: _part(level.answer_tokens_per_second, level.answered)),
    ("requests/s", lambda level: _part(level.requests_per_second, level.answered)),
    ("first token, p50", _time(lambda level: level.time_to_first_token, lambda times: times.p50)),
    ("  p99", _time(lambda level: level.time_to_first_token, lambda times: times.p99)),
    ("first answer token, p50", _time(lambda level: level.time_to_first_answer_token, lambda times: times.p50)),
    ("  p99", _time(lambda level: level.time_to_first_answer_token, lambda times: times.p99)),
    ("between chunks, p50", _time(lambda level: level.between_chunks, lambda times: times.p50)),
    ("  p99", _time(lambda level: level.between_chunks, lambda times: times.p99)),
    ("tokens in a chunk", lambda level: f"{level.output_tokens / level.chunks:.2f}" if level.chunks else _NOTHING),
    ("whole answer, p50", _time(lambda level: level.whole_answer, lambda times: times.p50)),
    ("prompt tokens", lambda level: _mean(level.prompt_tokens, level)),
    ("  of them cached", _cached),
    ("output tokens", lambda level: _mean(level.output_tokens, level)),
    ("  of them reasoning", lambda level: _mean(level.reasoning_tokens or None, level)),
)
_ALWAYS = ("streams", "requests answered", "output tokens/s", "first token, p50")
