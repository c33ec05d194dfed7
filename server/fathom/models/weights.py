"""Safetensors files, looked at without reading a weight: an 8-byte length, a JSON header, then the tensors' bytes."""

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fathom.core.errors import StartupError

INDEX = "model.safetensors.index.json"

_LONGEST_HEADER = 100_000_000  # the format's own limit
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True, slots=True)
class Weights:
    """`dtype` is the name that most bytes have in the files, as in "BF16", "F8_E4M3", "I8"."""

    bytes: int
    dtype: str


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor by its header. `dtype` as in the files ("BF16"), `bytes` as stored."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


def read(folder: Path) -> Weights:
    """Every header of the model. Raises StartupError in one line when a file is missing or broken."""
    return total(tensors(folder))


def tensors(folder: Path) -> list[Tensor]:
    """All tensors of the model, by the headers of its files. Raises StartupError as `read` does."""
    found = [tensor for path in files(folder) for tensor in _tensors_of(path)]
    if not sum(tensor.bytes for tensor in found):
        raise StartupError(f"{folder} has safetensors files without a single tensor: fetch the model again.")
    return found


def total(tensors: Iterable[Tensor]) -> Weights:
    """Of at least one tensor."""
    per_dtype = bytes_per_dtype(tensors)
    return Weights(per_dtype.total(), per_dtype.most_common(1)[0][0])


def bytes_per_dtype(tensors: Iterable[Tensor]) -> Counter[str]:
    found: Counter[str] = Counter()
    for tensor in tensors:
        found[tensor.dtype] += tensor.bytes
    return found


def files(folder: Path) -> list[Path]:
    """The model's safetensors files. Raises StartupError."""
    index = folder / INDEX
    if index.is_file():
        return _shards(index)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise StartupError(_no_weights(folder))
    return [path for path in files if path.name.startswith("model")] or files


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StartupError(f"{index} is not an index of safetensors files: fetch the model again.") from None
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise StartupError(
            f"{index.parent} lacks {len(missing)} of {len(names)} weight files ({missing[0]}): fetch the model again."
        )
    return [index.parent / name for name in names]


def _no_weights(folder: Path) -> str:
    pickle = next((path.name for path in sorted(folder.iterdir()) if path.suffix in _PICKLES), None)
    if pickle:
        return (
            f"{folder} has only pickled weights ({pickle}), which can run any code when they are loaded: "
            "use a safetensors version of the model."
        )
    if any(folder.glob("*.gguf")):
        return f"{folder} has no safetensors weights; to serve its GGUF file, name the file itself."
    return f"{folder} has no safetensors weights: is it a model's folder?"


def _tensors_of(path: Path) -> list[Tensor]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_LONGEST_HEADER, size):
            raise StartupError(f"{path} is not a safetensors file, or is damaged: fetch it again.")
        found = _parse(path, file.read(length))
    end = max((end for _, end in found), default=0)
    if 8 + length + end > size:
        raise StartupError(f"{path} is cut short: {size:,} of {8 + length + end:,} bytes. Fetch it again.")
    return [tensor for tensor, _ in found]


def _parse(path: Path, header: bytes) -> list[tuple[Tensor, int]]:
    """Each tensor, and where its bytes end."""
    try:
        entries: dict[str, Any] = json.loads(header)
        entries.pop("__metadata__", None)
        return [_tensor(name, entry) for name, entry in entries.items()]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StartupError(f"{path} has a damaged safetensors header: fetch it again.") from None


def _tensor(name: str, entry: dict[str, Any]) -> tuple[Tensor, int]:
    first, last = map(int, entry["data_offsets"])
    return Tensor(name, str(entry["dtype"]), tuple(map(int, entry["shape"])), last - first), last
