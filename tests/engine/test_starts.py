"""Starts that must fail, and how they end: one clear line, a non-zero status, no process left behind."""

import json
import socket
import time
from pathlib import Path

import psutil

from tests.running import gone, start_server, until


def failure(log: Path, *arguments: str, seconds: float = 60, **environment: str) -> str:
    """Start a server that cannot start. Returns the last line that it printed."""
    server = start_server(log, *arguments, **environment)
    children = []

    def ended() -> bool:
        if server.process.poll() is None:
            children.extend(psutil.Process(server.process.pid).children(recursive=True))
        return server.process.poll() is not None

    try:
        until(ended, "the server gives up", seconds)
    finally:
        server.kill()
    assert server.process.returncode not in (0, -9)
    until(lambda: gone(children), "no child is left")
    text = log.read_text()
    assert "Traceback" not in text
    lines = [line for line in text.splitlines() if line.startswith("fathom: error:")]
    assert len(lines) == 1, text
    return lines[0]


def test_a_port_in_use(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        began = time.monotonic()
        line = failure(tmp_path / "log", "--port", str(port))
    assert f"127.0.0.1:{port}" in line
    assert "--port" in line
    assert time.monotonic() - began < 10


def test_a_path_that_does_not_exist(tmp_path):
    assert "/no/such/folder" in failure(tmp_path / "log", "/no/such/folder")


def test_a_name_that_is_in_no_catalogue(tmp_path):
    assert "smollm2-135m" in failure(tmp_path / "log", "smollm2-135")


def test_a_bad_setting(tmp_path):
    assert "engine.dtpye" in failure(tmp_path / "log", "--set", "engine.dtpye=auto")
    assert "FATHOM_ENGINE__DTYPE" in failure(tmp_path / "log", FATHOM_ENGINE__DTPYE="auto")


def model_folder(folder: Path, header: bytes = b"") -> Path:
    folder.mkdir()
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64}
    config |= {"num_attention_heads": 4, "vocab_size": 100, "max_position_embeddings": 128, "intermediate_size": 64}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(header)
    return folder


def test_a_corrupt_folder(tmp_path):
    line = failure(tmp_path / "log", str(model_folder(tmp_path / "model", b"\x10\x00")))
    assert "model.safetensors" in line


def test_not_enough_memory(tmp_path):
    line = failure(tmp_path / "log", "--kv-cache-memory", "100000")
    assert "not enough memory" in line
    assert "GiB" in line


def test_a_lora_folder_without_an_adapter(tmp_path):
    assert "'poet'" in failure(tmp_path / "log", "--lora", f"poet={tmp_path}")


def test_an_engine_argument_that_vllm_does_not_know(tmp_path):
    line = failure(tmp_path / "log", "--set", "engine.args.max_modl_len=1")
    assert "max_modl_len" in line
    assert "Did you mean" in line


def test_a_failure_inside_of_vllm_is_one_line_that_names_the_cause(tmp_path):
    """The weights are readable and wrong: only the engine's worker can find out."""
    header = b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    weights = len(header).to_bytes(8, "little") + header + b"\x00" * 4
    folder = model_folder(tmp_path / "model", weights)
    home = tmp_path / "home"
    line = failure(tmp_path / "log", str(folder), FATHOM_HOME=str(home), seconds=200)
    assert "the engine did not start" in line
    assert str(home / "logs" / "engine-") in line
    assert list((home / "logs").glob("engine-*.log"))
