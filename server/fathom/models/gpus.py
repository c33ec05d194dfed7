"""GPUs as data: gpus.toml is the list, this is how it is read, and how this machine's own are found."""

import subprocess
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from fathom.core.errors import StartupError
from fathom.settings import nearest

_QUERY = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Gpu:
    """One kind of GPU. `memory_gb` in 10^9 bytes, `bandwidth_gbs` of its memory in 10^9 bytes/s."""

    name: str
    memory_gb: float
    bandwidth_gbs: float
    source: str


@cache
def known() -> tuple[Gpu, ...]:
    table = tomllib.loads(resources.files(__package__).joinpath("gpus.toml").read_text("utf-8"))
    return tuple(Gpu(**entry) for entry in table["gpu"])


def named(name: str) -> Gpu:
    """The GPU that is meant: all words of `name` are in its name, in any case, and of several such the first. Raises
    StartupError."""
    found = _match(name)
    if found is None:
        names = [gpu.name for gpu in known()]
        raise StartupError(
            f"unknown GPU {name!r}: give --gpu-memory and --bandwidth, or one of {', '.join(names)}."
            + nearest(name.upper(), names)
        )
    return found


def _match(name: str) -> Gpu | None:
    wanted = _words(name)
    return next((gpu for gpu in known() if wanted and wanted <= _words(gpu.name)), None)


def of_machine(reported: str) -> Gpu | None:
    """The entry for a driver's name, as in "NVIDIA A100-SXM4-80GB"; of an H100, HBM3 tells the SXM."""
    words = _words(reported.replace("SXM4", "SXM").replace("HBM3", "SXM"))
    return next((gpu for gpu in known() if _words(gpu.name) <= words), None)


def installed() -> list[tuple[str, int]]:
    """Name and bytes of memory of each GPU here, as nvidia-smi tells; none where there is no such command."""
    try:
        told = subprocess.run(_QUERY, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):  # no driver, no GPU, or it hangs
        return []
    rows = (line.rpartition(",") for line in told.splitlines())
    return [(name.strip(), int(memory) * _MIB) for name, _, memory in rows if memory.strip().isdigit()]


def _words(name: str) -> set[str]:
    return set(name.upper().replace("-", " ").split())
