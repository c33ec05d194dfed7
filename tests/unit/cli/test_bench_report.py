import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fathom.cli.bench_figures import figures
from fathom.cli.bench_load import Level
from fathom.cli.bench_notes import notes
from fathom.cli.bench_plan import Plan
from fathom.cli.bench_report import Report, duration
from fathom.cli.bench_stream import Answer
from fathom.cli.wire import OutputDetails, Usage
from fathom.core.errors import StartupError
from rich.console import Console

PLAN = Plan((1, 16), seed=7)


def answer(trace: int = 4, **fields: Any) -> Answer:
    usage = Usage(100, 10, None, OutputDetails(trace))
    times = Answer(0.5, 1.5, 2.0, 2.0, [0.2, 0.2], trace_chunks=trace, answer_chunks=6, usage=usage, reason="length")
    return replace(times, **fields)


def report(*levels: Level, interrupted: bool = False) -> Report:
    began = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    return Report("http://host:1", "m", began, PLAN, [figures(level) for level in levels], interrupted)


def lines(shown: Report) -> dict[str, list[str]]:
    """The cells of each row by its name."""
    console = Console(file=io.StringIO(), width=200)
    console.print(shown.table())
    rows = [line.rstrip().split("  ") for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    return {row[0]: row[1:] for row in cells if row[0] != "p99"}


def noted(level: Level, **fields: Any) -> list[str]:
    return list(notes(replace(PLAN, **fields), [figures(level)]))


def test_a_table_has_a_column_for_each_level() -> None:
    shown = lines(report(Level(1, 1, [answer()], seconds=2.0), Level(16, 2, [answer(), answer()], seconds=2.5)))
    assert shown["streams"] == ["1", "16"]
    assert shown["output tokens/s"] == ["5.00", "8.00"]
    assert shown["reasoning tokens/s"] == ["2.00", "3.20"]
    assert shown["answer tokens/s"] == ["3.00", "4.80"]
    assert shown["first token, p50"] == ["500 ms", "500 ms"]
    assert shown["first answer token, p50"] == ["1.50 s", "1.50 s"]
    assert shown["between chunks, p50"] == ["200 ms", "200 ms"]
    assert shown["prompt tokens"] == ["100", "100"]


def test_rows_that_no_level_can_fill_are_left_out() -> None:
    shown = lines(report(Level(1, 1, [answer(trace=0)], seconds=2.0)))
    assert not {"requests failed", "reasoning tokens/s", "of them cached", "of them reasoning"} & shown.keys()


def test_a_level_without_answers_is_a_column_of_dashes() -> None:
    shown = lines(report(Level(1, 1, [answer()], seconds=2.0), Level(16, 1, [], ["gone"], seconds=2.0)))
    assert shown["requests failed"] == ["-", "1"]
    assert shown["output tokens/s"] == ["5.00", "-"]
    assert shown["first token, p50"] == ["500 ms", "-"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00042, "0.4 ms"),
        (0.0999, "99.9 ms"),
        (0.09999, "100 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (75, "75.0 s"),
    ],
)
def test_times_have_three_figures(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_run_that_went_as_asked_has_no_notes() -> None:
    assert noted(Level(1, 1, [answer()], seconds=2.0), thinking=True, ignore_eos=True) == []


@pytest.mark.parametrize(
    ("level", "wishes", "note"),
    [
        (Level(4, 3, [answer()], ["500: x", "500: x"]), {}, "4 streams: 2 of 3 requests failed: 500: x"),
        (Level(4, 3, [], ["a", "a", "b"]), {}, "4 streams: 3 of 3 requests failed, 2 of them so: a"),
        (Level(1, 1, [answer(usage=Usage())]), {}, "no usage for 1 of 1 answers"),
        (Level(1, 1, [answer(usage=Usage(1, 10))]), {}, "does not count the trace of 1 of 1 answers"),
        (Level(1, 1, [answer(first_answer=None)]), {}, "1 of 1 came without an answer"),
        (Level(1, 1, [answer()]), {"thinking": False}, "1 of 1 answers have a trace though thinking is off"),
        (Level(1, 1, [answer(trace=0)]), {"thinking": True}, "no answer has a trace though thinking is on"),
        (Level(1, 1, [answer(reason="stop")]), {"ignore_eos": True}, "1 of 1 answers ended before --max-tokens"),
        (Level(1, 1, [answer()], seconds=2.0, busy=1.8), {}, "1 stream: the benchmark itself took 90% of a CPU core"),
    ],
)
def test_what_was_not_as_asked_for_is_said(level: Level, wishes: dict[str, Any], note: str) -> None:
    assert any(note in each for each in noted(level, **wishes))


def test_a_run_that_was_cut_short_says_so() -> None:
    assert next(report(Level(1, 1, [answer()], seconds=2.0), interrupted=True).notes()).startswith("stopped before")


def test_the_json_has_everything(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    report(Level(1, 1, [answer()], seconds=2.0)).write(file)
    content = json.loads(file.read_text())
    assert (content["server"], content["model"], content["date"]) == ("http://host:1", "m", "2026-01-02T03:04:00+00:00")
    assert content["plan"]["seed"] == 7
    assert content["interrupted"] is False
    [level] = content["levels"]
    assert level["output_tokens_per_second"] == 5.0
    assert level["time_to_first_token"] == {"mean": 0.5, "p50": 0.5, "p90": 0.5, "p99": 0.5, "longest": 0.5}


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="cannot be written: Is a directory"):
        report().write(tmp_path)
