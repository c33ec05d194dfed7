"""Safetensors files, looked at without reading a weight: an 8-byte length, a JSON header, then the tensors' bytes."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fathom.core.errors import StartupError

_LONGEST_HEADER = 100_000_000  # the format's own limit
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True, slots=True)
class Weights:
    """`dtype` is the name that most bytes have in the files, as in "BF16", "F8_E4M3", "I8"."""

    bytes: int
    dtype: str


def read(folder: Path) -> Weights:
    """Every header of the model. Raises StartupError in one line when a file is missing or broken."""
    per_dtype: Counter[str] = Counter()
    for path in _files(folder):
        per_dtype += _bytes_per_dtype(path)
    if not per_dtype:
        raise StartupError(f"{folder} has safetensors files without a single tensor: fetch the model again.")
    return Weights(per_dtype.total(), per_dtype.most_common(1)[0][0])


def _files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
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


def _bytes_per_dtype(path: Path) -> Counter[str]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_LONGEST_HEADER, size):
            raise StartupError(f"{path} is not a safetensors file, or is damaged: fetch it again.")
        tensors = _tensors(path, file.read(length))
    found: Counter[str] = Counter()
    end = 0
    for dtype, first, last in tensors:
        found[dtype] += last - first
        end = max(end, last)
    if 8 + length + end > size:
        raise StartupError(f"{path} is cut short: {size:,} of {8 + length + end:,} bytes. Fetch it again.")
    return found


def _tensors(path: Path, header: bytes) -> list[tuple[str, int, int]]:
    try:
        entries: dict[str, Any] = json.loads(header)
        entries.pop("__metadata__", None)
        return [(str(entry["dtype"]), *map(int, entry["data_offsets"])) for entry in entries.values()]  # type: ignore[misc]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StartupError(f"{path} has a damaged safetensors header: fetch it again.") from None
