"""What `fathom plan` plans for: this machine, or one that the command line describes."""

import os
import re
from dataclasses import dataclass

from fathom.core.errors import StartupError
from fathom.engine import machine
from fathom.models import bandwidth, gpus, memory
from fathom.models.planning import Hardware

_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}


@dataclass(frozen=True, slots=True)
class Described:
    """As the options have it; None is this machine's own. `bandwidth` in GB/s."""

    device: str | None = None
    memory: str | None = None
    gpu: str | None = None
    gpu_memory: str | None = None
    gpus: int | None = None
    bandwidth: float | None = None


def hardware(described: Described) -> Hardware:
    """Raises StartupError in one line. Where a CPU's bandwidth is not given, it is measured, within a second."""
    if described.device not in (None, "cpu", "cuda"):
        raise StartupError(f"--device {described.device!r} is unknown: give cpu or cuda.")
    if described.bandwidth is not None and not described.bandwidth > 0:
        raise StartupError(f"--bandwidth {described.bandwidth:g} is no bandwidth: give GB/s, above 0.")
    of_gpus = any(option is not None for option in (described.gpu, described.gpu_memory, described.gpus))
    if (described.device or ("cuda" if of_gpus else machine.device())) == "cuda":
        return _gpu(described)
    if of_gpus:
        raise StartupError("--gpu, --gpu-memory and --gpus do not go with --device cpu: leave one or the other out.")
    return _cpu(described)


def _cpu(described: Described) -> Hardware:
    if described.memory is None:
        size, size_from = memory.available_memory(), "available now"
    else:
        size, size_from = size_of(described.memory, "--memory"), "by --memory"
    rate, rate_from = _given_bandwidth(described)
    if rate is None:
        rate, rate_from = bandwidth.measure(), "measured on this machine just now"
    cores = len(os.sched_getaffinity(0))
    name = f"{machine.cpu_model()}, {cores} core{'s' if cores > 1 else ''}"
    return Hardware("cpu", name, size, size_from, rate, rate_from)


def _gpu(described: Described) -> Hardware:
    if described.memory is not None:
        raise StartupError("--memory is for a CPU: give --gpu-memory, of one GPU, or --device cpu.")
    size = size_of(described.gpu_memory, "--gpu-memory") if described.gpu_memory is not None else None
    rate, rate_from = _given_bandwidth(described)
    if described.gpu is None and size is not None:
        return Hardware("cuda", "a GPU", size, "by --gpu-memory", rate, rate_from)
    name, known, found, found_from = _installed() if described.gpu is None else _named(described.gpu)
    if rate is None and known:
        rate, rate_from = known.bandwidth_gbs * 1e9, known.source
    return Hardware("cuda", name, size or found, "by --gpu-memory" if size else found_from, rate, rate_from)


def _named(name: str) -> tuple[str, gpus.Gpu | None, int, str]:
    gpu = gpus.named(name)
    return gpu.name, gpu, int(gpu.memory_gb * 1e9), gpu.source


def _installed() -> tuple[str, gpus.Gpu | None, int, str]:
    """The smallest of this machine's GPUs: the engine takes the same from each."""
    found = gpus.installed()
    if not found:
        raise StartupError("nvidia-smi shows no GPU here: describe one with --gpu NAME, or with --gpu-memory 80GiB.")
    name, size = min(found, key=lambda each: each[1])
    return name, gpus.of_machine(name), size, "nvidia-smi"


def _given_bandwidth(described: Described) -> tuple[float | None, str]:
    return (None, "") if described.bandwidth is None else (described.bandwidth * 1e9, "by --bandwidth")


def size_of(text: str, option: str) -> int:
    """Bytes of "80GiB" or "80 GB". Raises StartupError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([MGT]i?B)", text.strip(), re.IGNORECASE)
    if found is None or not float(found[1]):
        raise StartupError(f"{option} {text!r} is no size; it looks like 80GiB or 80GB.")
    return int(float(found[1]) * _UNITS[found[2].upper()])
