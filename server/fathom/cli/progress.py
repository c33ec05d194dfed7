"""A start's progress on stderr: a bar on a terminal, plain lines elsewhere."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from fathom.core.engine import Phase, Progress


@contextmanager
def showing_progress(console: Console | None = None) -> Iterator[Progress]:
    """What it yields may be called from any thread, as often as one likes."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _plain(console)
        return
    columns = SpinnerColumn(), TextColumn("{task.description:<16}"), BarColumn(), TaskProgressColumn()
    with Bars(*columns, TimeElapsedColumn(), console=console) as bars:
        yield _bars(bars)


def _bars(bars: Bars) -> Progress:
    tasks: dict[Phase, TaskID] = {}

    def report(phase: Phase, share: float | None) -> None:
        if phase not in tasks:
            for earlier in tasks.values():
                bars.update(earlier, total=1.0, completed=1.0)
            tasks[phase] = bars.add_task(phase.value, total=None)
        if share is not None:
            bars.update(tasks[phase], total=1.0, completed=share)

    return report


def _plain(console: Console) -> Progress:
    """A line for each phase, and one more at each tenth of it."""
    said: dict[Phase, int] = {}
    lock = threading.Lock()

    def report(phase: Phase, share: float | None) -> None:
        tenth = int((share or 0) * 10)
        with lock:
            if tenth <= said.get(phase, -1):
                return
            said[phase] = tenth
        console.print(f"{phase.value} {tenth * 10}%" if tenth else f"{phase.value} ...", highlight=False)

    return report
