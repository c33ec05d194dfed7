import io

from fathom.cli.progress import showing_progress
from fathom.core.engine import Phase
from rich.console import Console


def written(terminal: bool, *reports: tuple[Phase, float | None]) -> str:
    output = io.StringIO()
    with showing_progress(Console(file=output, force_terminal=terminal, width=100)) as progress:
        for phase, share in reports:
            progress(phase, share)
    return output.getvalue()


def test_away_from_a_terminal_a_phase_is_a_line_and_so_is_each_tenth() -> None:
    reports = [(Phase.DOWNLOADING, share / 100) for share in range(31)]
    assert written(False, *reports, (Phase.CONVERTING, None)) == (
        "downloading ...\ndownloading 10%\ndownloading 20%\ndownloading 30%\nconverting ...\n"
    )


def test_away_from_a_terminal_a_phase_without_shares_is_said_once() -> None:
    assert written(False, (Phase.LOADING, None), (Phase.LOADING, None)) == "loading weights ...\n"


def test_on_a_terminal_there_is_a_bar_for_each_phase() -> None:
    output = written(True, (Phase.DOWNLOADING, 0.5), (Phase.CONVERTING, 0.25))
    assert "downloading" in output
    assert "100%" in output
    assert "converting" in output
    assert "25%" in output
