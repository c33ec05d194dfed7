"""Model folders made on the spot: real file formats, a few bytes of weights."""

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fathom.core.engine import Phase

from tests.unit.models.fake_hub import FakeHub

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "dtype": "bfloat16",
    "hidden_size": 576,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "num_hidden_layers": 30,
    "max_position_embeddings": 8192,
}


def safetensors(size: int = 64, dtype: str = "BF16") -> bytes:
    """One tensor of `size` bytes."""
    header = json.dumps({"weight": {"dtype": dtype, "shape": [size // 2], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


def model_files(**config: Any) -> dict[str, bytes]:
    return {
        "config.json": json.dumps(LLAMA | config).encode(),
        "model.safetensors": safetensors(),
        "tokenizer.json": b"{}",
        "tokenizer_config.json": json.dumps({"chat_template": "{{ messages }}"}).encode(),
    }


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    def make(**config: Any) -> Path:
        folder = tmp_path / "model"
        folder.mkdir()
        for name, content in model_files(**config).items():
            (folder / name).write_bytes(content)
        return folder

    return make


class Recorder:
    """A Progress that remembers."""

    def __init__(self) -> None:
        self.reports: list[tuple[Phase, float | None]] = []

    def __call__(self, phase: Phase, share: float | None) -> None:
        self.reports.append((phase, share))

    def shares(self, phase: Phase) -> list[float]:
        return [share for told, share in self.reports if told is phase and share is not None]


@pytest.fixture
def progress() -> Recorder:
    return Recorder()


def silent(phase: Phase, share: float | None) -> None:
    """A Progress for tests that do not look at it."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """A fake hub on loopback, and an environment in which the library asks it, without any token of this user."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FakeHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running
