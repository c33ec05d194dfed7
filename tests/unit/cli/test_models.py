from pathlib import Path

import pytest
from fathom.cli.models import models
from fathom.models import catalogue


def rows(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    models()
    return {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path))
    return tmp_path / "models"


def test_every_entry_of_the_catalogue_is_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert {entry.alias for entry in catalogue.entries()} <= rows(capsys).keys()


def test_what_is_on_disk_shows_its_size(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blobs = home / "hub/models--Qwen--Qwen3-8B/blobs"
    blobs.mkdir(parents=True)
    (blobs / "weights").write_bytes(bytes(20_000_000))
    found = rows(capsys)
    assert found["qwen3-8b"].rstrip().endswith("16.4 GB  0.02 GB")
    assert found["qwen3-4b"].rstrip().endswith("8.04 GB")


def test_a_fetched_model_outside_the_catalogue_has_a_row(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "hub/models--org--llama").mkdir(parents=True)
    assert "org/llama" in rows(capsys)
