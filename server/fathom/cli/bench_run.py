"""A benchmark from its first request to its report."""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from fathom.cli.bench_client import BenchClient
from fathom.cli.bench_figures import Figures, figures
from fathom.cli.bench_load import Load
from fathom.cli.bench_plan import Plan
from fathom.cli.bench_progress import showing_levels
from fathom.cli.bench_report import Report
from fathom.core.errors import StartupError

_INTERRUPTED = 128 + 2  # as shells tell of SIGINT
_WIDE = 1000  # a table is not folded to fit: its lines are copied into notes and files


def run(url: str, model: str | None, api_key: str | None, plan: Plan, path: Path | None) -> int:
    """Measure, print, and write the JSON to `path`. Returns the exit status. Raises StartupError."""
    if path:
        _check_writable(path)
    began, interrupted = datetime.now(UTC), False
    client = BenchClient(url, api_key, plan.timeout)
    with showing_levels() as show:
        load = Load(client, plan, model, show)
        try:
            asyncio.run(load.run())
        except KeyboardInterrupt:
            interrupted = True
    ended = [figures(level) for level in load.levels if level.ended]
    if not interrupted:
        _check_answered(ended)
    report = Report(client.url, load.model, began, plan, ended, interrupted)
    _print(report)
    if path and ended:
        report.write(path)
    return _INTERRUPTED if interrupted else 0


def _check_writable(path: Path) -> None:
    """A long run should not end in vain."""
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise StartupError(f"--json {path} cannot be written; name a file in a folder that exists and may be changed")


def _check_answered(levels: Sequence[Figures]) -> None:
    if any(level.answered for level in levels):
        return
    reason = next(iter(levels[0].reasons))
    raise StartupError(f"all {sum(level.failed for level in levels)} requests failed: {reason}")


def _print(report: Report) -> None:
    out = Console(width=_WIDE, highlight=False, soft_wrap=True)
    if not report.levels:
        Console(stderr=True).print("stopped before anything was measured")
        return
    out.print(report.heading(), markup=False)
    out.print()
    out.print(report.table())
    for at, note in enumerate(report.notes()):
        out.print("" if at else "\n", f"note: {note}", sep="", markup=False)
