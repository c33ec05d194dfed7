import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from fathom.cli.plan import plan
from fathom.core.errors import StartupError
from fathom.engine import machine
from fathom.models import bandwidth, gpus
from huggingface_hub import constants  # imported before any test changes HF_ENDPOINT, which it reads once
from typer.testing import CliRunner, Result

from tests.unit.models.conftest import hub, make_folder, model_files
from tests.unit.models.fake_hub import FakeHub, Repository

__all__ = ["hub", "make_folder"]

MakeFolder = Callable[..., Path]
app = typer.Typer()
app.command()(plan)

ON_CPU = ("--device", "cpu", "--memory", "16GiB", "--bandwidth", "20")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def planned(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.exception
    body: dict[str, Any] = json.loads(result.stdout)
    return body


def problem(*arguments: str) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, StartupError), result.output
    return str(result.exception)


@pytest.fixture
def here(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """The fake hub, also for the library that this process has imported long ago."""
    ask(hub.url, monkeypatch)
    return hub


def ask(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a machine that is good at 16 bits."""
    monkeypatch.setattr(machine, "cpu_flags", lambda: frozenset({"avx2", "avx512f"}))
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_folder_is_planned_by_its_files(make_folder: MakeFolder) -> None:
    body = planned(str(make_folder()), *ON_CPU)
    assert (body["known_from"], body["fits"], body["weight_bytes"]) == ("files on disk", True, 64)
    assert (body["kv_bytes_per_token"], body["max_model_len"]) == (30 * 2 * 3 * 64 * 2, 8192)
    assert body["hardware"]["bandwidth"] == 20e9


def test_every_choice_of_a_start_is_shown_with_its_reason(make_folder: MakeFolder) -> None:
    body = planned(str(make_folder()), *ON_CPU, "--max-num-seqs", "16", "--max-model-len", "4096")
    chosen = {choice["name"]: (choice["value"], choice["why"]) for choice in body["choices"]}
    assert chosen["max_num_seqs"] == ("16", "engine.max_num_seqs; the engine has 10 places more, to be fair")
    assert chosen["max_model_len"] == ("4,096", "engine.max_model_len")
    for name in ("dtype", "kv_cache_memory", "kv_cache_dtype", "max_num_batched_tokens", "compile"):
        assert all(chosen[name])


def test_people_read_it_in_lines(make_folder: MakeFolder) -> None:
    result = run(str(make_folder()), *ON_CPU)
    assert result.exit_code == 0
    assert "20.0 GB/s (by --bandwidth)" in result.stdout
    assert "16.0 GiB of memory (by --memory)" in result.stdout
    assert "max_num_seqs" in result.stdout
    assert "It fits: " in result.stdout
    assert not [line for line in result.stdout.splitlines() if line != line.rstrip() and "  " not in line]


def test_what_does_not_fit_ends_with_status_1_and_what_would(make_folder: MakeFolder, tmp_path: Path) -> None:
    make_folder()
    result = run(str(tmp_path / "model"), "--device", "cpu", "--memory", "1GiB", "--bandwidth", "20")
    assert (result.exit_code, isinstance(result.exception, StartupError)) == (1, False)
    assert "It does not fit: not enough memory" in result.stdout
    assert "One of these would do:" in result.stdout
    body = json.loads(run(str(tmp_path / "model"), "--device", "cpu", "--memory", "1GiB", "--json").stdout)
    assert (body["fits"], body["short_of"][:17]) == (False, "not enough memory")


def test_a_hub_model_is_planned_by_its_headers_and_no_weights_are_fetched(here: FakeHub, home: Path) -> None:
    here.repositories["org/model"] = Repository(model_files())
    body = planned("org/model", *ON_CPU)
    assert body["known_from"] == "the hub's headers; no weights were fetched"
    assert (body["weight_bytes"], body["context_length"]) == (64, 8192)
    assert not list(home.rglob("*"))
    (asked,) = here.downloads("model.safetensors")
    assert asked.range == "bytes=0-100000"


def test_all_parts_of_a_hub_model_are_counted(here: FakeHub) -> None:
    files = model_files()
    part = files.pop("model.safetensors")
    files |= {"model-00001-of-00002.safetensors": part, "model-00002-of-00002.safetensors": part}
    here.repositories["org/model"] = Repository(files)
    assert planned("org/model", *ON_CPU)["weight_bytes"] == 128


def test_what_a_download_would_refuse_is_refused(here: FakeHub) -> None:
    here.repositories["org/model"] = Repository({"config.json": b"{}", "pytorch_model.bin": b""})
    assert "has only pickled weights" in problem("org/model", *ON_CPU)
    here.repositories["org/gated"] = Repository(model_files(), gated=True)
    assert "org/gated is gated" in problem("org/gated", *ON_CPU)
    assert "the hub shows no model 'org/none'" in problem("org/none", *ON_CPU)


def test_a_damaged_header_on_the_hub_is_one_line(here: FakeHub) -> None:
    here.repositories["org/model"] = Repository(
        model_files() | {"model.safetensors": struct.pack("<Q", 9) + b"{not json"}
    )
    assert problem("org/model", *ON_CPU) == "org/model has a safetensors file with a damaged header on the hub."


def test_without_a_hub_the_catalogue_says_what_it_knows(here: FakeHub) -> None:
    body = planned("qwen3-30b-a3b", "--gpu", "h100", "--max-model-len", "8192")
    assert body["known_from"].startswith("the catalogue; ")
    assert (body["parameters"], round(body["active_parameters"] / 1e9, 1)) == (30_550_000_000, 3.4)
    assert body["kv_bytes_per_token"] == 2 * 48 * 4 * 128 * 2


def test_a_model_outside_the_catalogue_needs_the_hub(here: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    ask("http://127.0.0.1:9", monkeypatch)
    assert "cannot reach the hub at http://127.0.0.1:9 for org/model" in problem("org/model", *ON_CPU)


def test_the_embedded_model_needs_nothing_on_disk(home: Path) -> None:
    body = planned(*ON_CPU)
    assert (body["model"], body["weight_bytes"]) == ("smollm2-135m", 270_000_000)
    assert body["known_from"] == "the catalogue; it is not on disk"
    assert not home.exists()


def test_a_gguf_file_is_planned_as_it_would_be_converted(tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(gguf())
    body = planned(str(file), *ON_CPU)
    assert (body["model"], body["parameters"], body["weight_bytes"]) == ("tiny", 64 * 100 + 64, 2 * (64 * 100 + 64))
    assert (body["context_length"], body["kv_bytes_per_token"]) == (2048, 2 * 2 * 2 * 16 * 2)


def test_8_bit_weights_are_planned_before_they_are_made(make_folder: MakeFolder) -> None:
    folder = str(make_folder())
    assert planned(folder, *ON_CPU, "--scheme", "int8")["scheme"] == "int8"
    assert problem(folder, *ON_CPU, "--scheme", "int2") == "unknown scheme 'int2': choose one of int8, fp8."


def test_gpus_are_planned_by_name_or_by_figures(make_folder: MakeFolder) -> None:
    folder = str(make_folder(num_attention_heads=8, num_key_value_heads=8))
    named = planned(folder, "--gpu", "l4", "--gpus", "2")
    assert (named["hardware"]["name"], named["hardware"]["memory"], named["hardware"]["count"]) == ("L4", 24 * 10**9, 2)
    described = planned(folder, "--gpu-memory", "80GiB", "--bandwidth", "2000")
    assert (described["hardware"]["memory"], described["hardware"]["bandwidth"]) == (80 << 30, 2e12)
    assert "give --bandwidth" in run(folder, "--gpu-memory", "80GiB").stdout


def test_this_machines_gpus_are_found(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "installed", lambda: [("NVIDIA H100 80GB HBM3", 81559 << 20)])
    found = planned(str(make_folder()), "--device", "cuda")["hardware"]
    assert (found["name"], found["memory"], found["bandwidth"]) == ("NVIDIA H100 80GB HBM3", 81559 << 20, 3.35e12)


def test_without_a_bandwidth_a_cpus_is_measured(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth, "measure", lambda: 12.5e9)
    found = planned(str(make_folder()), "--device", "cpu", "--memory", "16GiB")["hardware"]
    assert (found["bandwidth"], found["bandwidth_from"]) == (12.5e9, "measured on this machine just now")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--device", "tpu"), "--device 'tpu' is unknown: give cpu or cuda."),
        (("--memory", "16"), "--memory '16' is no size; it looks like 80GiB or 80GB."),
        (("--memory", "0GiB"), "--memory '0GiB' is no size"),
        (("--bandwidth", "0"), "--bandwidth 0 is no bandwidth: give GB/s, above 0."),
        (("--device", "cpu", "--gpu", "l4"), "do not go with --device cpu"),
        (("--gpu", "l4", "--memory", "4GiB"), "--memory is for a CPU: give --gpu-memory"),
        (("--gpu", "voodoo"), "unknown GPU 'voodoo': give --gpu-memory and --bandwidth, or one of B200, "),
        (("--device", "cpu", "--dtype", "int3", "--bandwidth", "1"), "dtype 'int3' is unknown"),
        (("--set", "engine.nonsense=1"), "unknown setting 'engine.nonsense'"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], line: str) -> None:
    said = problem(*arguments)
    assert line in said
    assert "\n" not in said


def test_what_is_no_model_is_one_line() -> None:
    assert "unknown model 'nonsense'" in problem("nonsense", *ON_CPU)
    assert problem("/no/such/folder", *ON_CPU) == "no such folder: /no/such/folder"


def test_without_a_gpu_cuda_says_how_to_describe_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "installed", list)
    assert "nvidia-smi shows no GPU here: describe one with --gpu NAME" in problem("--device", "cuda")


@pytest.mark.slow
def test_nothing_heavy_is_imported() -> None:
    heavy = "{'torch', 'vllm', 'transformers', 'fastapi', 'sqlalchemy', 'huggingface_hub'}"
    code = f"import sys, fathom.cli.plan; sys.exit(', '.join({heavy} & sys.modules.keys()) or None)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")


def gguf() -> bytes:
    """Two layers' metadata, an embedding and one norm, and a vocabulary that is passed over."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    numbers = {"block_count": 2, "embedding_length": 64, "context_length": 2048, "attention.head_count": 4}
    pairs = [text("general.architecture") + struct.pack("<I", 8) + text("llama")]
    pairs += [text(f"llama.{name}") + struct.pack("<II", 4, value) for name, value in numbers.items()]
    pairs.append(text("llama.attention.head_count_kv") + struct.pack("<IIQ2I", 9, 4, 2, 2, 2))
    words = b"".join(text(f"word{number}") for number in range(5000))
    pairs.append(text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 5000) + words)
    tensors = [
        text("token_embd.weight") + struct.pack("<I2QIQ", 2, 64, 100, 2, 0),
        text("output_norm.weight") + struct.pack("<IQIQ", 1, 64, 0, 4096),
    ]
    return struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(pairs)) + b"".join([*pairs, *tensors])


def test_on_a_cpu_that_is_slow_with_16_bits_weights_are_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cpu_flags", lambda: frozenset({"avx2"}))
    assert run(*ON_CPU).stdout.count("float32") >= 2  # of the model, and of its KV cache
