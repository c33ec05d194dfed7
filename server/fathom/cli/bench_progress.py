"""How far a benchmark is, on stderr: a bar for each level on a terminal, one line for each elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from fathom.cli.bench_load import Level, Show
from fathom.cli.bench_plan import in_words


@contextmanager
def showing_levels(console: Console | None = None) -> Iterator[Show]:
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield lambda level: _say_once(console, level)
        return
    columns = TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, TextColumn("{task.fields[speed]}"), console=console) as bars:
        tasks: dict[int, TaskID] = {}
        yield lambda level: _update(bars, tasks, level)


def _update(bars: Progress, tasks: dict[int, TaskID], level: Level) -> None:
    key = id(level)
    if key not in tasks:
        tasks[key] = bars.add_task(in_words(level.streams), total=level.requests, speed="")
    tokens = sum(answer.tokens for answer in level.answers)
    speed = f"{tokens / level.seconds:,.1f} tokens/s" if level.seconds else ""
    bars.update(tasks[key], completed=level.ended, speed=speed)


def _say_once(console: Console, level: Level) -> None:
    if not level.ended:
        console.print(f"{in_words(level.streams)}, {level.requests} requests ...", highlight=False)
