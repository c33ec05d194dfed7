from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from fathom.cli.pull import pull
from fathom.core.errors import StartupError
from typer.testing import CliRunner

from tests.unit.models.conftest import make_folder

__all__ = ["make_folder"]

app = typer.Typer()
app.command()(pull)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))


def test_the_folder_is_the_last_thing_printed(make_folder: Callable[..., Path]) -> None:
    folder = make_folder()
    result = CliRunner().invoke(app, [str(folder)])
    assert result.exit_code == 0
    assert result.stdout == f"{folder}\n"


def test_a_model_that_cannot_be_had_is_a_startup_error() -> None:
    result = CliRunner().invoke(app, ["/no/such/folder"])
    assert isinstance(result.exception, StartupError)
