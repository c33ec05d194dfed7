"""The beginning of a GGUF file: its metadata and its tensors' shapes, without a weight being read.

The gguf package makes an array of each token of the vocabulary: 5 s of CPU for the embedded model, 0.2 s here.
"""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fathom.core.errors import StartupError
from fathom.models.weights import Tensor

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LONGEST_KEPT = 4096  # items of a list; the vocabulary and its merges are longer, and not wanted

_NAMES = {  # of config.json -> of GGUF, below the architecture's name
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "max_position_embeddings": "context_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "kv_lora_rank": "attention.kv_lora_rank",
    "qk_rope_head_dim": "rope.dimension_count",
    "num_experts": "expert_count",
    "num_experts_per_tok": "expert_used_count",
}


@dataclass(frozen=True, slots=True)
class Header:
    """`config` has the names of config.json; `tensors` are as the conversion to bfloat16 makes them."""

    config: Mapping[str, Any]
    tensors: tuple[Tensor, ...]


def read(path: Path) -> Header:
    """Raises StartupError in one line for what is no GGUF file."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(_Reader(data))
    except (OSError, ValueError, struct.error, IndexError, KeyError):  # what a damaged length leads to
        raise StartupError(f"{path} is not a GGUF file of version 2 or 3, or is damaged: fetch it again.") from None


def _read(reader: "_Reader") -> Header:
    magic, version, tensors, pairs = struct.unpack("<4sIQQ", reader.take(24))
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError
    metadata = {reader.string(): reader.value(reader.number("I")) for _ in range(pairs)}
    shapes = [_tensor(reader) for _ in range(tensors)]
    return Header(_config(metadata), tuple(shapes))


def _tensor(reader: "_Reader") -> Tensor:
    name, size = reader.string(), 2
    shape = tuple(reader.number("Q") for _ in range(reader.number("I")))
    for length in shape:
        size *= length
    reader.take(4 + 8)  # its type, and where it lies
    return Tensor(name, "BF16", shape, size)


def _config(metadata: Mapping[str, Any]) -> dict[str, Any]:
    architecture = str(metadata["general.architecture"])
    found = {name: metadata.get(f"{architecture}.{key}") for name, key in _NAMES.items()}
    most = {name: max(value) if isinstance(value, list) else value for name, value in found.items() if value}
    return {"model_type": architecture, "dtype": "bfloat16"} | most


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        self._at += count
        if self._at > len(self._data):
            raise ValueError
        return self._data[self._at - count : self._at]

    def number(self, kind: str) -> Any:
        return struct.unpack("<" + kind, self.take(struct.calcsize("<" + kind)))[0]

    def string(self) -> str:
        return self.take(self.number("Q")).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        """A list that is too long to be of use is passed over, as None."""
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            return self.number(_NUMBERS[kind])
        inner, count = self.number("I"), self.number("Q")
        if count <= _LONGEST_KEPT:
            return [self.value(inner) for _ in range(count)]
        return self._skip(inner, count)

    def _skip(self, kind: int, count: int) -> None:
        if kind != _STRING:
            self.take(struct.calcsize("<" + _NUMBERS[kind]) * count)
            return
        for _ in range(count):
            self.take(self.number("Q"))
