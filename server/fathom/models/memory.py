"""How much of the machine's memory the KV cache gets, and how long a context that allows.

On CPU, vLLM takes the cache's size as an order: too large is a crash, too small a refusal, both after the weights are
loaded. So it is decided here, before anything is.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from fathom.core.errors import StartupError
from fathom.models.facts import ModelFacts, dtype_bytes
from fathom.settings import EngineSettings

GIB = 1 << 30
RUNTIME_BYTES = 2 * GIB
"""What the engine's processes take besides weights and KV cache: three Pythons with torch, and activations."""

LARGEST_DEFAULT_KV_BYTES = 4 * GIB
"""No more than this unless asked: vLLM touches every page at the start, and a CPU decodes fewer tokens than fit."""

CPU_MAX_NUM_SEQS = 64
"""Sequences in one batch on a CPU, unless asked; more only wait for each other."""

USEFUL_CONTEXT = 2048
"""Less room than this (or than the model's own context) and a chat does not fit: then it is better not to start."""


class DoesNotFit(StartupError):
    """The memory is too small for what is wanted; nothing else is wrong."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """`kv_tokens` is how many tokens the cache of `kv_bytes` holds, in all requests together. None: vLLM decides."""

    weight_bytes: int
    kv_bytes: int | None
    kv_tokens: int | None
    max_model_len: int | None


def plan_memory(
    facts: ModelFacts, settings: EngineSettings, device: str, available_bytes: int | None = None, extra: int = 0
) -> MemoryPlan:
    """The plan for this machine, `kv_bytes` being each worker's part. A GPU's cache is left to vLLM, which measures.

    available_bytes: of another machine's memory. extra: bytes of weights besides the model's.
    """
    facts = replace(facts, weight_bytes=round(facts.weight_bytes * facts.widening(settings.dtype)) + extra)
    workers = settings.tensor_parallel_size * settings.pipeline_parallel_size
    if device != "cpu":
        wanted_context(facts, settings.max_model_len)
        asked = int(settings.kv_cache_memory * GIB / workers) if settings.kv_cache_memory else None
        return MemoryPlan(facts.weight_bytes, asked, None, settings.max_model_len)
    whole = plan(
        facts,
        available_memory() if available_bytes is None else available_bytes,
        settings.kv_cache_share,
        settings.kv_cache_memory,
        settings.max_model_len,
        max_num_seqs=settings.max_num_seqs or CPU_MAX_NUM_SEQS,
        kv_dtype_bytes=dtype_bytes(kv_dtype(facts, settings)),
    )
    return replace(whole, kv_bytes=(whole.kv_bytes or 0) // workers)


def plan(
    facts: ModelFacts,
    available_bytes: int,
    kv_share: float,
    kv_cache_memory_gib: float | None = None,
    max_model_len: int | None = None,
    *,
    max_num_seqs: int = CPU_MAX_NUM_SEQS,
    kv_dtype_bytes: int = 2,
) -> MemoryPlan:
    """Divide a CPU's memory. Raises StartupError with the numbers when the model does not fit."""
    context = wanted_context(facts, max_model_len)
    block = block_size(facts, "cpu")
    token_bytes = max(1, facts.kv_bytes_per_token(kv_dtype_bytes))
    least_tokens = max_model_len or min(context, USEFUL_CONTEXT)
    least = whole_blocks(least_tokens, block) * token_bytes

    free = available_bytes - facts.weight_bytes - RUNTIME_BYTES
    if kv_cache_memory_gib is not None:
        kv_bytes = int(kv_cache_memory_gib * GIB)
        _require(kv_bytes >= least, f"a KV cache of {gib(kv_bytes)}", f"{gib(least)} for {least_tokens:,} tokens")
        least = kv_bytes
    else:
        useful = whole_blocks(max_num_seqs * context, block) * token_bytes
        kv_bytes = max(least, min(int(free * kv_share), useful, LARGEST_DEFAULT_KV_BYTES))
    if least > free:
        raise DoesNotFit(_does_not_fit(facts, available_bytes, least, max_model_len, kv_cache_memory_gib))
    kv_tokens = (kv_bytes // (token_bytes * block) - 1) * block
    return MemoryPlan(facts.weight_bytes, kv_bytes, kv_tokens, min(context, kv_tokens))


def kv_dtype(facts: ModelFacts, settings: EngineSettings) -> str:
    return facts.computed_in(settings.dtype) if settings.kv_cache_dtype == "auto" else settings.kv_cache_dtype


def wanted_context(facts: ModelFacts, max_model_len: int | None) -> int:
    """In tokens: what was asked for, else the model's own. Raises StartupError."""
    own = facts.context_length
    if max_model_len and own and max_model_len > own:
        raise StartupError(f"max_model_len = {max_model_len:,} is above the model's own context of {own:,} tokens.")
    return max_model_len or own or USEFUL_CONTEXT


def gib(count: int) -> str:
    """Bytes, for people."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / (1 << 20):.1f} MiB"


def whole_blocks(tokens: int, block: int) -> int:
    """Tokens that a cache must have place for, to hold these: it keeps one block for itself."""
    return (-(-tokens // block) + 1) * block


def block_size(facts: ModelFacts, device: str) -> int:
    """vLLM's, in tokens."""
    return 16 if facts.latent_attention or device != "cpu" else 128


def available_memory(root: Path = Path("/")) -> int:
    """Bytes that a CPU engine may take: the least of the whole machine, the NUMA node vLLM binds to, and the cgroup."""
    machine = _meminfo(root / "proc/meminfo")
    candidates = [machine["MemAvailable"]]
    cpu = root / f"sys/devices/system/cpu/cpu{min(os.sched_getaffinity(0))}"
    for node in cpu.glob("node[0-9]*/meminfo"):
        found = _meminfo(node)
        candidates.append(
            sum(found.get(key, 0) for key in ("MemFree", "Active(file)", "Inactive(file)", "SReclaimable"))
        )
    limit, used = (_number(root / "sys/fs/cgroup" / name) for name in ("memory.max", "memory.current"))
    if limit is not None and limit < machine["MemTotal"]:
        candidates.append(max(0, limit - (used or 0)))
    return min(candidates)


def _require(holds: bool, given: str, needed: str) -> None:
    if not holds:
        raise StartupError(
            f"{given} is too small, it takes {needed}: raise --kv-cache-memory or lower --max-model-len."
        )


def _does_not_fit(
    facts: ModelFacts, available: int, kv_bytes: int, max_model_len: int | None, kv_cache_memory_gib: float | None
) -> str:
    advice = "choose a smaller or quantized model, or free memory"
    if kv_cache_memory_gib is not None:
        advice = "lower --kv-cache-memory, or " + advice
    elif max_model_len is not None:
        advice = "lower --max-model-len, or " + advice
    return (
        f"not enough memory: it needs {gib(facts.weight_bytes)} of weights, {gib(kv_bytes)} of KV cache and "
        f"{gib(RUNTIME_BYTES)} to run, and has {gib(available)}; {advice}."
    )


def _meminfo(path: Path) -> dict[str, int]:
    """Lines such as "Node 0 MemFree:  6510176 kB", the first two words only in a node's file."""
    words = (line.replace(":", " ").split() for line in path.read_text().splitlines())
    return {line[-3]: int(line[-2]) * 1024 for line in words if line[-1] == "kB"}


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None
