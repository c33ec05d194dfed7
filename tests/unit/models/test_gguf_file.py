import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from fathom.core.engine import Phase
from fathom.core.errors import StartupError
from fathom.models import gguf_file
from fathom.models.folder import inspect

from tests.unit.models.conftest import Recorder, silent

pytestmark = pytest.mark.slow

STUB = [sys.executable, str(Path(__file__).with_name("stub_converter.py"))]
PARTS = {"part-0", "part-1", "part-2", "part-3"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF and no more: the stub does not look")
    return path


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_file, "COMMAND", STUB)


def prepare(source: Path, home: Path) -> Path:
    return gguf_file.prepare(source, home, silent, threading.Event())


def runs(source: Path) -> int:
    return len(source.with_suffix(".runs").read_text())


@pytest.mark.usefixtures("stub")
def test_a_file_is_converted_once(source: Path, tmp_path: Path) -> None:
    first = prepare(source, tmp_path / "home")
    assert prepare(source, tmp_path / "home") == first
    assert {path.name for path in first.iterdir()} == PARTS
    assert runs(source) == 1


@pytest.mark.usefixtures("stub")
def test_a_file_that_has_changed_is_converted_anew(source: Path, tmp_path: Path) -> None:
    first = prepare(source, tmp_path / "home")
    source.write_bytes(source.read_bytes() + b"!")
    assert prepare(source, tmp_path / "home") != first
    assert runs(source) == 2


@pytest.mark.usefixtures("stub")
def test_two_that_ask_at_once_convert_once(source: Path, tmp_path: Path) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(prepare(source, tmp_path / "home"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(found)) == 1
    assert len(found) == 2
    assert runs(source) == 1


@pytest.mark.usefixtures("stub")
def test_progress_follows_the_childs_bars_and_ends_at_the_whole(
    source: Path, tmp_path: Path, progress: Recorder
) -> None:
    gguf_file.prepare(source, tmp_path / "home", progress, threading.Event())
    shares = progress.shares(Phase.CONVERTING)
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] == 1.0
    assert 0.5 + 0.25 * 2 / 4 in shares


@pytest.mark.usefixtures("stub")
def test_a_failed_conversion_is_one_line_with_its_last_error_and_leaves_nothing(source: Path, tmp_path: Path) -> None:
    broken = source.rename(tmp_path / "broken.gguf")
    with pytest.raises(StartupError, match=r"cannot convert .*broken.gguf to safetensors: ValueError: GGUF model with"):
        prepare(broken, tmp_path / "home")
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.usefixtures("stub")
def test_a_cancelled_conversion_leaves_nothing(source: Path, tmp_path: Path) -> None:
    cancel = threading.Event()

    def stop_half_way(phase: Phase, share: float | None) -> None:
        if share and share > 0.6:
            cancel.set()

    with pytest.raises(StartupError, match=r"stopped before the model was ready"):
        gguf_file.prepare(source, tmp_path / "home", stop_half_way, cancel)
    assert list((tmp_path / "home").iterdir()) == []


def test_what_is_no_gguf_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fake.gguf").write_bytes(b"PK")
    with pytest.raises(StartupError, match=r"fake.gguf is not a GGUF file"):
        prepare(tmp_path / "fake.gguf", tmp_path / "home")


def test_a_part_of_a_split_file_is_refused_with_the_fix(source: Path, tmp_path: Path) -> None:
    part = source.rename(tmp_path / "big-00001-of-00003.gguf")
    with pytest.raises(StartupError, match=r"one part of a split GGUF file: merge"):
        prepare(part, tmp_path / "home")


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "before the child": lambda home: home.is_dir(),
    "at the first file": lambda home: any(home.glob(".partial-*/part-0")),
    "in the middle": lambda home: any(home.glob(".partial-*/part-2")),
    "at the last file": lambda home: any(home.glob(".partial-*/part-3")),
    "at the very end": lambda home: any(home.glob("tiny-*")),
}


@pytest.mark.usefixtures("stub")
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_at_any_moment_leaves_no_half_made_folder_and_the_next_run_succeeds(
    moment: str, source: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    code = (
        "import sys, threading; from pathlib import Path; from fathom.models import gguf_file; "
        f"gguf_file.COMMAND = {STUB!r}; "
        "gguf_file.prepare(Path(sys.argv[1]), Path(sys.argv[2]), lambda *_: None, threading.Event())"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(source), str(home)]) as process:
        while not MOMENTS[moment](home):
            assert process.poll() is None, "it ended before the moment came"
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
    finished = [{path.name for path in folder.iterdir()} for folder in home.glob("tiny-*")]
    assert finished in ([], [PARTS])

    assert {path.name for path in prepare(source, home).iterdir()} == PARTS
    assert not list(home.glob(".partial-*")) or finished  # a run that found the folder whole has nothing to clear


def test_a_real_gguf_file_becomes_a_folder_that_can_be_served(tmp_path: Path) -> None:
    source = tmp_path / "tiny.gguf"
    write_tiny_llama(source)
    folder = prepare(source, tmp_path / "home")
    facts = inspect(folder)
    assert facts.architectures == ("LlamaForCausalLM",)
    assert (facts.weight_dtype, facts.context_length, facts.layers) == ("BF16", 256, 1)
    assert facts.chat_template == "{{ messages[0].content }}"


def write_tiny_llama(path: Path) -> None:
    """One layer of width 32 and a byte-level vocabulary."""
    width, vocabulary = 32, ["<s>", "</s>", *(chr(code) for code in range(33, 127)), "he"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3, 3, *[1] * (len(vocabulary) - 2)])
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template("{{ messages[0].content }}")
    shapes = {
        "token_embd": (len(vocabulary), width),
        "output": (len(vocabulary), width),
        "output_norm": (width,),
        "blk.0.attn_norm": (width,),
        "blk.0.ffn_norm": (width,),
        "blk.0.attn_q": (width, width),
        "blk.0.attn_k": (width // 2, width),
        "blk.0.attn_v": (width // 2, width),
        "blk.0.attn_output": (width, width),
        "blk.0.ffn_gate": (64, width),
        "blk.0.ffn_up": (64, width),
        "blk.0.ffn_down": (width, 64),
    }
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", np.ones(shape, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
