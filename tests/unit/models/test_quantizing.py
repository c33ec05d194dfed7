import json
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fathom.core.engine import Phase
from fathom.core.errors import StartupError
from fathom.models import disk, quantized
from fathom.models.fetch import PreparedModel, prepare
from fathom.models.quantized import Measured
from fathom.models.quantizing import Made, make
from fathom.models.schemes import INT8

from tests.unit.models.conftest import LLAMA, Recorder, make_folder, silent

__all__ = ["make_folder"]

STUB = [sys.executable, str(Path(__file__).with_name("stub_quantizer.py"))]
PROJECTION = "model.layers.0.mlp.up_proj.weight"


def tensor(name: str, shape: list[int]) -> bytes:
    """A safetensors file with one tensor of 64 bytes."""
    header = json.dumps({name: {"dtype": "BF16", "shape": shape, "data_offsets": [0, 64]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(64)


@pytest.fixture(autouse=True)
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantized, "COMMAND", [*STUB, "weights"])
    monkeypatch.setattr(quantized, "QUALITY_COMMAND", [*STUB, "quality"])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def folder(make_folder: Callable[..., Path]) -> Path:
    made = make_folder()
    (made / "model.safetensors").write_bytes(tensor(PROJECTION, [4, 8]))
    (made / "LICENSE").write_text("yours")
    return made


def run(folder: Path, home: Path, output: Path | None = None, **options: Any) -> Made:
    return make(prepared(folder), INT8, output, home, options.pop("progress", silent), **options)


def prepared(folder: Path) -> PreparedModel:
    return prepare(str(folder), folder.parent, silent)


def left(home: Path) -> list[str]:
    return [path.name for path in (home / "models/quantized").iterdir()]


def test_it_lands_in_a_folder_by_name_and_scheme_with_all_that_is_no_weight(folder: Path, home: Path) -> None:
    made = run(folder, home)
    assert made.path == home / "models/quantized/model-int8"
    assert {path.name for path in made.path.iterdir()} == {
        *("model.safetensors", "config.json", "quality.json", "tokenizer.json", "tokenizer_config.json", "LICENSE")
    }
    assert (made.before, made.after) == (64, 64)


def test_the_report_lies_beside_the_weights_and_is_told(folder: Path, home: Path) -> None:
    made = run(folder, home)
    assert made.report == Measured("a text", 64, 10.0, 10.1, 0.95)
    assert made.report.change == pytest.approx(0.01)
    assert json.loads((made.path / "quality.json").read_bytes())["greedy_agreement"] == 0.95


def test_no_report_is_made_where_none_is_wanted(folder: Path, home: Path) -> None:
    made = run(folder, home, report=False)
    assert made.report == "--no-report"
    assert not (made.path / "quality.json").exists()


def test_a_report_that_cannot_be_made_does_not_cost_the_model(folder: Path, home: Path) -> None:
    (folder / "no-report").touch()
    made = run(folder, home)
    assert made.report == "Transformers does not know it"
    assert (made.path / "model.safetensors").is_file()


def test_a_model_that_memory_cannot_hold_in_float32_has_no_report(folder: Path) -> None:
    reason = quantized.too_large_to_measure(folder, available=2 << 30)
    assert reason
    assert "and 2.0 are free" in reason
    assert quantized.too_large_to_measure(folder, available=(2 << 30) + 4 * 32) is None


def test_progress_goes_through_weights_and_report_to_the_end(folder: Path, home: Path, progress: Recorder) -> None:
    run(folder, home, progress=progress)
    shares = progress.shares(Phase.QUANTIZING)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert pytest.approx(0.65) in shares


def test_a_failure_is_one_line_and_leaves_nothing(folder: Path, home: Path) -> None:
    (folder / "broken").touch()
    with pytest.raises(StartupError, match=r"^cannot quantize .*/model: a weight is not finite$"):
        run(folder, home)
    assert left(home) == []


def test_stopped_half_way_it_leaves_nothing(folder: Path, home: Path) -> None:
    (folder / "slow").touch()
    cancel = threading.Event()

    def stop(_phase: Phase, share: float | None) -> None:
        if share:
            cancel.set()

    with pytest.raises(StartupError, match=r"stopped"):
        run(folder, home, progress=stop, cancel=cancel)
    assert left(home) == []


def test_what_is_there_is_named_and_stays(folder: Path, home: Path) -> None:
    run(folder, home)
    with pytest.raises(StartupError, match=r"model-int8 exists already: serve it, replace it with --force"):
        run(folder, home)


def test_force_replaces_a_quantized_model_whole(folder: Path, home: Path) -> None:
    made = run(folder, home)
    (made.path / "mine").touch()
    run(folder, home, force=True)
    assert not (made.path / "mine").exists()
    assert left(home) == ["model-int8"]


def test_a_replacement_that_fails_leaves_the_old_one(folder: Path, home: Path) -> None:
    made = run(folder, home)
    (folder / "broken").touch()
    with pytest.raises(StartupError):
        run(folder, home, force=True)
    assert (made.path / "model.safetensors").is_file()


def test_force_replaces_nothing_else(folder: Path, home: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for output in (tmp_path / "mine", folder):
        with pytest.raises(StartupError, match=r"exists and is no quantized model"):
            run(folder, home, output, force=True)
    assert (folder / "LICENSE").is_file()


def test_a_folder_of_the_users_gets_no_lock_file(folder: Path, home: Path, tmp_path: Path) -> None:
    made = run(folder, home, tmp_path / "out/small")
    assert made.path == tmp_path / "out/small"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["small"]
    assert not (tmp_path / ".out.lock").exists()


def test_an_output_that_cannot_be_written_is_named(folder: Path, home: Path) -> None:
    with pytest.raises(StartupError, match=r"cannot write to .*LICENSE.*: name another --output"):
        run(folder, home, folder / "LICENSE/below/out")


def test_a_disk_that_is_too_small_is_told_before(folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _folder: type("Usage", (), {"free": 10}))
    with pytest.raises(StartupError, match=r"not enough disk space"):
        run(folder, home)
    assert left(home) == []


def test_the_expected_size_is_a_byte_a_number_and_the_scales(folder: Path) -> None:
    assert quantized.expected_bytes(folder, INT8) == 4 * 8 + 4 * 4


REFUSED = {
    "quantized already (fp8)": LLAMA | {"quantization_config": {"quant_method": "fp8"}},
    "quantized already (mxfp4)": LLAMA | {"text_config": LLAMA | {"quantization_config": {"quant_method": "mxfp4"}}},
    "sees or hears": LLAMA | {"vision_config": {"depth": 2}},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_quantized_is_refused_by_its_config(reason: str, folder: Path) -> None:
    with pytest.raises(StartupError) as caught:
        quantized.check("some-model", folder, REFUSED[reason], INT8)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        ("transformer.h.0.attn.c_attn.weight", [4, 8], "no projections by a name that Fathom knows"),
        ("model.layers.0.mlp.experts.up_proj", [2, 4, 4], "keeps all experts in one tensor"),
    ],
)
def test_what_cannot_be_quantized_is_refused_by_its_weights(
    name: str, shape: list[int], reason: str, folder: Path, home: Path
) -> None:
    (folder / "model.safetensors").write_bytes(tensor(name, shape))
    with pytest.raises(StartupError, match=reason):
        run(folder, home)
