from pathlib import Path

import pytest
import typer
from fathom.cli.quantize import _summary, quantize
from fathom.core.errors import StartupError
from fathom.models.quantized import Measured
from fathom.models.quantizing import Made
from typer.testing import CliRunner

app = typer.Typer()
app.command()(quantize)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))


def made(report: Measured | str) -> Made:
    return Made(Path("/m-int8"), "int8", 269_000_000, 163_000_000, report)


def test_the_summary_says_what_it_saves_what_it_costs_and_how_to_serve_it() -> None:
    text = _summary(made(Measured("a text", 2048, 10.0, 10.05, 0.951)))
    assert "0.269 GB of weights before, 0.163 GB after (int8)" in text
    assert "perplexity 10.000 before, 10.050 after (+0.50%), on 2,048 tokens of a text" in text
    assert "greedy agreement 95.1%" in text
    assert text.splitlines()[-1] == "  fathom serve /m-int8"


def test_the_summary_says_why_there_is_no_report() -> None:
    assert "no report: too large" in _summary(made("too large"))


def test_an_unknown_scheme_is_refused_with_those_that_there_are() -> None:
    result = CliRunner().invoke(app, ["--scheme", "int3"])
    assert isinstance(result.exception, StartupError)
    assert str(result.exception) == "unknown scheme 'int3': choose one of int8, fp8."
