"""Every choice that is made for a model on a machine, with its reason. A start logs them and `fathom plan` shows them,
behind those for the process (machine.py)."""

from fathom.core.batch import engine_places
from fathom.engine.decided import Decision
from fathom.engine.machine import Choice
from fathom.models.facts import ModelFacts
from fathom.models.memory import CPU_MAX_NUM_SEQS, GIB, LARGEST_DEFAULT_KV_BYTES, MemoryPlan, gib, kv_dtype
from fathom.settings import EngineSettings

_SERVERS = ((160, 16384, 1024), (70, 8192, 1024), (0, 2048, 256))
"""vLLM 0.32's batch limits of a server: least GiB of a GPU, tokens in a step, sequences. An A100 is among the last."""

_ELSEWHERE = {"data_parallel_size", "distributed_executor_backend"}  # of vLLM's arguments


def engine(
    settings: EngineSettings,
    facts: ModelFacts,
    plan: MemoryPlan,
    device: str,
    decision: Decision,
    gpu: tuple[str, int] | None = None,
) -> list[Choice]:
    """What vLLM is told, or finds out by itself. gpu: its name and bytes of memory, where they are known."""
    on_cpu = device == "cpu"
    found = [
        *decision.choices,
        _context(settings, facts, plan),
        *_cache(settings, facts, plan, on_cpu),
        _sequences(settings, on_cpu, gpu),
        _step(settings, on_cpu, gpu),
        _compile(settings, device),
    ]
    if on_cpu and not compiled(settings, device):
        found.append(Choice("RMS norms", "vLLM's C++ kernels", "without torch.compile they are quicker than PyTorch's"))
        if in_process(settings, device):
            found.append(
                Choice("layers", "straight to their kernels", "what is around them is there for torch.compile")
            )
    if on_cpu and facts.latent_attention:
        found.append(
            Choice("rotary_embedding", "PyTorch's", "with latent attention vLLM's CPU kernel gives wrong answers")
        )
    return found


def _context(settings: EngineSettings, facts: ModelFacts, plan: MemoryPlan) -> Choice:
    if settings.max_model_len:
        return Choice("max_model_len", f"{settings.max_model_len:,}", "engine.max_model_len")
    own, chosen = facts.context_length, plan.max_model_len
    if chosen is None or chosen == own:
        return Choice("max_model_len", f"{own:,}" if own else "vLLM's", "the model's own context")
    return Choice("max_model_len", f"{chosen:,}", "what the KV cache holds" if own else "the model names no context")


def _cache(settings: EngineSettings, facts: ModelFacts, plan: MemoryPlan, on_cpu: bool) -> list[Choice]:
    typed = Choice(
        "kv_cache_dtype",
        kv_dtype(facts, settings),
        "as the weights are computed" if settings.kv_cache_dtype == "auto" else "engine.kv_cache_dtype",
    )
    size = gib(plan.kv_bytes) if plan.kv_bytes is not None else "what is left"
    return [Choice("kv_cache_memory", size, _why_cache(settings, plan, on_cpu)), typed]


def _why_cache(settings: EngineSettings, plan: MemoryPlan, on_cpu: bool) -> str:
    if settings.kv_cache_memory:
        return "engine.kv_cache_memory"
    if not on_cpu:
        return f"of {settings.gpu_memory_utilization:.0%} of a GPU's memory, after weights and a trial run of vLLM's"
    if plan.kv_bytes == LARGEST_DEFAULT_KV_BYTES:
        return f"no more than {LARGEST_DEFAULT_KV_BYTES // GIB} GiB unless asked"
    return f"up to {settings.kv_cache_share:.0%} of what the weights leave, as far as batches can use it"


def _sequences(settings: EngineSettings, on_cpu: bool, gpu: tuple[str, int] | None) -> Choice:
    seqs = settings.max_num_seqs or (CPU_MAX_NUM_SEQS if on_cpu else None)
    if seqs is None:
        return Choice("max_num_seqs", f"{_of_server(gpu)[1]:,}" if gpu else "vLLM's", "vLLM's, by the GPU's memory")
    spare = engine_places(seqs) - seqs
    why = "engine.max_num_seqs" if settings.max_num_seqs else "more on a CPU only wait for each other"
    return Choice("max_num_seqs", str(seqs), f"{why}; the engine has {spare} places more, to be fair" if spare else why)


def _step(settings: EngineSettings, on_cpu: bool, gpu: tuple[str, int] | None) -> Choice:
    name = "max_num_batched_tokens"
    if settings.max_num_batched_tokens:
        return Choice(name, f"{settings.max_num_batched_tokens:,}", f"engine.{name}")
    if on_cpu:
        workers = settings.tensor_parallel_size * settings.pipeline_parallel_size
        return Choice(name, f"{2048 * workers:,}", "vLLM's for a server on a CPU; a longer prompt is read in pieces")
    return Choice(name, f"{_of_server(gpu)[0]:,}" if gpu else "vLLM's", "vLLM's for a server, by the GPU's memory")


def _of_server(gpu: tuple[str, int]) -> tuple[int, int]:
    name, memory = gpu
    last = "A100" in name.upper()
    return next((step, seqs) for least, step, seqs in _SERVERS if memory >= least * GIB and not (last and least))


def compiled(settings: EngineSettings, device: str) -> bool:
    """vLLM compiles nothing on a CPU with LoRA adapters."""
    if device == "cpu":
        return settings.compile == "on" and not settings.lora
    return settings.compile != "off"


def in_process(settings: EngineSettings, device: str) -> bool:
    """Whether the model runs in EngineCore's process: on a CPU one worker needs none of its own, unless there are more
    engines (docs/adr/0020)."""
    workers = settings.tensor_parallel_size * settings.pipeline_parallel_size
    return device == "cpu" and workers == 1 and not _ELSEWHERE & settings.args.keys()


def _compile(settings: EngineSettings, device: str) -> Choice:
    value = "on" if compiled(settings, device) else "off"
    if settings.compile == "on" and value == "off":
        return Choice("compile", value, "on a CPU, vLLM compiles nothing with LoRA adapters")
    if settings.compile != "auto":
        return Choice("compile", value, "engine.compile")
    if device == "cpu":
        return Choice("compile", value, "on a CPU it adds minutes to a start")
    return Choice("compile", value, "a GPU is idle between small kernels without it")
