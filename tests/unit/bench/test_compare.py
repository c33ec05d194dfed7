import sys
from pathlib import Path

import pytest

from tests.bench.compare import options
from tests.bench.peers import FATHOM, FATHOM_BF16, FATHOM_COMPILED, FATHOM_INT8, VLLM, Unavailable, model_of


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def test_all_servers_are_compared_when_none_is_named(model: Path) -> None:
    assert options(["--model", str(model)]).only == [FATHOM, FATHOM_BF16, FATHOM_INT8, FATHOM_COMPILED, VLLM]


def test_named_servers_come_in_the_order_given_and_once(model: Path) -> None:
    given = ["--only", "vllm", "--only", "fathom", "--only", "vllm", "--streams", "16,1,16", "--model", str(model)]
    asked = options(given)
    assert asked.only == [VLLM, FATHOM]
    assert asked.streams == [1, 16]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["--streams", "1,x"], "'x' is not a number from 1 to 1024"),
        (["--rounds", "0"], "'0' is not a number from 1 to 1024"),
        (["--only", "ollama"], "invalid choice: 'ollama'"),
        (["--model", "/nowhere"], "--model /nowhere: there is no config.json in it"),
        (["--guidellm", "/nowhere/guidellm"], "--guidellm /nowhere/guidellm cannot be run"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    given: list[str], complaint: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        options(["--model", str(model), *given])
    assert complaint in capsys.readouterr().err.splitlines()[-1]


def test_a_quantized_model_that_is_there_is_not_made_again(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / f"{model.name}-int8"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert model_of(FATHOM_INT8, model, tmp_path / "cache") == folder


def test_a_model_that_cannot_be_quantized_is_a_reason_in_one_line(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(Unavailable, match=r"^`fathom quantize --scheme int8` failed: silently$"):
        model_of(FATHOM_INT8, model, tmp_path / "cache")
