"""What the process that listens costs: memory, CPU time; and when it gave its first token."""

import time
from dataclasses import dataclass

import httpx
import psutil

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB. PSS counts pages that processes share once; `everything` is the PSS of the process and all its children."""

    rss: float
    pss: float
    everything: float


def memory(pid: int) -> Memory:
    api = psutil.Process(pid)
    whole = api.memory_full_info()
    children = sum(child.memory_full_info().pss for child in api.children(recursive=True))
    return Memory(whole.rss / _MIB, whole.pss / _MIB, (whole.pss + children) / _MIB)


def cpu_seconds(pid: int) -> float:
    """Of this process alone, all of its threads, user and system."""
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


def first_token(url: str, pid: int) -> float:
    """Seconds from the start of the process to the first token of its first request, which is sent now."""
    model = httpx.get(f"{url}/v1/models", timeout=30).json()["data"][0]["id"]
    body = {"model": model, "prompt": "The river runs", "max_tokens": 4, "temperature": 0, "stream": True}
    came = 0.0
    with httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=120) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            if not came and line.startswith("data: {"):
                came = time.time()
    assert came, "the first request gave no token"
    return came - psutil.Process(pid).create_time()
