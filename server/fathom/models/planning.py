"""What serving a model would take of a machine, by arithmetic alone: whether it fits, for how many requests of which
length, and how fast one stream can be at most."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from fathom.core.errors import StartupError
from fathom.models import facts as config_facts
from fathom.models import memory
from fathom.models.facts import ModelFacts, dtype_bytes
from fathom.models.memory import RUNTIME_BYTES, DoesNotFit, MemoryPlan, gib
from fathom.models.schemes import FP8, INT8, Scheme
from fathom.models.sizes import Sizes
from fathom.settings import EngineSettings

_CONTEXTS = (2048, 8192, 32768, 131072, 524288)
_MOST_GPUS = 16


@dataclass(frozen=True, slots=True)
class Hardware:
    """`memory` in bytes, of the machine or of each GPU; `bandwidth` in bytes/s, likewise. The texts say where from."""

    device: str
    name: str
    memory: int
    memory_from: str
    bandwidth: float | None = None
    bandwidth_from: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Requests of `context` tokens: bytes of one's KV cache, how many the planned cache holds, and how many one would
    that took all that the weights leave."""

    context: int
    request_bytes: int
    in_cache: int
    at_most: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """`plan` is for all workers together. `short_of` says what does not fit, None when all does.

    token_bytes: KV cache of one token, `copies` times, once for each GPU that keeps it. tokens_per_second: bounds for
    one stream, at the beginning and at full context; None where they are not known.
    """

    plan: MemoryPlan
    runtime_bytes: int
    available_bytes: int
    token_bytes: int
    copies: int
    rows: tuple[Row, ...]
    read_bytes: int
    tokens_per_second: float | None
    tokens_per_second_at_full_context: float | None
    short_of: str | None
    fixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model as it would be loaded, and the settings that it would be served with. packed: whether its weights are
    read in float16, whatever they have. extra: bytes of weights besides its own."""

    facts: ModelFacts
    sizes: Sizes
    settings: EngineSettings
    packed: bool = False
    extra: int = 0

    @property
    def read_bytes(self) -> int:
        """Weights that one token reads."""
        if self.packed:
            return 2 * self.sizes.read.parameters
        return round(self.sizes.read.bytes * self.facts.widening(self.settings.dtype))

    def quantized(self, scheme: Scheme) -> "Wanted":
        """As `fathom quantize` would make it. Raises StartupError for what is quantized already."""
        if self.facts.config.get("quantization_config") or self.facts.weight_dtype not in ("BF16", "F16", "F32"):
            raise StartupError(
                f"--scheme is for weights of 16 or 32 bits, and these are {self.facts.weight_dtype}: leave it out."
            )
        smaller = self.sizes.quantized(scheme)
        config = {**self.facts.config, "quantization_config": {"format": scheme.format, "bits": 8}}
        facts = replace(self.facts, weight_bytes=smaller.bytes, weight_dtype="8-bit", config=config)
        return replace(self, facts=facts, sizes=smaller, packed=False, extra=0)

    def with_settings(self, **changed: object) -> "Wanted":
        return replace(self, settings=self.settings.model_copy(update=changed))


def forecast(wanted: Wanted, hardware: Hardware) -> Forecast:
    """Raises StartupError for settings that no machine could serve it with."""
    _check_shares(wanted)
    found = _forecast(wanted, hardware)
    return replace(found, fixes=tuple(_fixes(wanted, hardware))) if found.short_of else found


def _forecast(wanted: Wanted, hardware: Hardware) -> Forecast:
    facts, settings = wanted.facts, wanted.settings
    workers = settings.tensor_parallel_size * settings.pipeline_parallel_size
    on_cpu = hardware.device == "cpu"
    available = hardware.memory if on_cpu else int(hardware.memory * settings.gpu_memory_utilization) * workers
    runtime = RUNTIME_BYTES * (1 if on_cpu else workers)
    weights = round(facts.weight_bytes * facts.widening(settings.dtype)) + wanted.extra
    token = facts.kv_bytes_per_token(dtype_bytes(memory.kv_dtype(facts, settings)))
    copies = 1 if on_cpu else _copies(facts, settings.tensor_parallel_size)
    token *= copies
    free, short_of = available - weights - runtime, None
    try:
        plan = _plan_cpu(wanted, available) if on_cpu else _plan_gpus(wanted, hardware, available, free, token)
    except DoesNotFit as problem:
        short_of = str(problem)
        plan = MemoryPlan(weights, 0, 0, memory.wanted_context(facts, settings.max_model_len))
    bandwidth = None if hardware.bandwidth is None else hardware.bandwidth * _readers(settings, on_cpu)
    whole = None if config_facts.reads_part_of_the_cache(config_facts.text_config(facts.config)) else token
    context = plan.max_model_len or 0
    return Forecast(
        plan=plan,
        runtime_bytes=runtime,
        available_bytes=available,
        token_bytes=token,
        copies=copies,
        rows=tuple(_rows(plan, free, token, memory.block_size(facts, hardware.device))),
        read_bytes=wanted.read_bytes,
        tokens_per_second=bandwidth and bandwidth / wanted.read_bytes,
        tokens_per_second_at_full_context=bandwidth and whole and bandwidth / (wanted.read_bytes + whole * context),
        short_of=short_of,
    )


def _plan_cpu(wanted: Wanted, available: int) -> MemoryPlan:
    """As a start does it, the parts of all workers added."""
    settings = wanted.settings
    found = memory.plan_memory(wanted.facts, settings, "cpu", available, wanted.extra)
    return replace(
        found, kv_bytes=(found.kv_bytes or 0) * settings.tensor_parallel_size * settings.pipeline_parallel_size
    )


def _plan_gpus(wanted: Wanted, hardware: Hardware, available: int, free: int, token: int) -> MemoryPlan:
    """An estimate of what vLLM finds when it measures: it gives the KV cache all that is left, and refuses to start if
    that does not hold one request of full length. Raises DoesNotFit."""
    facts, settings = wanted.facts, wanted.settings
    context = memory.wanted_context(facts, settings.max_model_len)
    block = memory.block_size(facts, hardware.device)
    least = memory.whole_blocks(context, block) * token
    asked = settings.kv_cache_memory
    kv_bytes = int(asked * memory.GIB) if asked else free
    if kv_bytes > free or kv_bytes < least:
        raise DoesNotFit(
            f"not enough GPU memory: it needs {gib(available - free - _runtime(settings))} of weights, "
            f"{gib(max(least, kv_bytes if asked else 0))} of KV cache for {context:,} tokens and "
            f"{gib(_runtime(settings))} to run, and has {gib(available)}."
        )
    tokens = (kv_bytes // (token * block) - 1) * block if token else 0
    return MemoryPlan(available - free - _runtime(settings), kv_bytes, tokens, context)


def _runtime(settings: EngineSettings) -> int:
    return RUNTIME_BYTES * settings.tensor_parallel_size * settings.pipeline_parallel_size


def _copies(facts: ModelFacts, gpus: int) -> int:
    """How often a token's keys and values are kept by GPUs that share each layer: heads are shared out while there are
    enough of them; a latent vector is every GPU's."""
    if facts.latent_attention:
        return gpus
    config = config_facts.text_config(facts.config)
    heads = int(config.get("num_key_value_heads") or config.get("num_attention_heads") or gpus)
    return max(1, gpus // heads)


def _readers(settings: EngineSettings, on_cpu: bool) -> int:
    """GPUs that read at the same time for one stream. A CPU's bandwidth is the whole machine's."""
    return 1 if on_cpu else settings.tensor_parallel_size


def _rows(plan: MemoryPlan, free: int, token: int, block: int) -> Iterator[Row]:
    own = plan.max_model_len or 0
    if not token:
        return
    for context in [*(length for length in _CONTEXTS if length < own), own]:
        each = -(-context // block) * block
        blocks_left = max(0, free // token - block)
        yield Row(context, each * token, max(0, plan.kv_tokens or 0) // each, blocks_left // each)


def _check_shares(wanted: Wanted) -> None:
    gpus, config = wanted.settings.tensor_parallel_size, config_facts.text_config(wanted.facts.config)
    heads = int(config.get("num_attention_heads") or config.get("n_head") or 0)
    if heads and heads % gpus:
        possible = [str(count) for count in range(1, _MOST_GPUS + 1) if heads % count == 0]
        raise StartupError(
            f"{gpus} GPUs cannot share the {heads} attention heads of each layer evenly: take {' or '.join(possible)}."
        )


def _fixes(wanted: Wanted, hardware: Hardware) -> Iterator[str]:
    """Each is enough by itself, and was tried."""
    if context := _largest_context(wanted, hardware):
        yield f"a smaller context: --max-model-len {context}"
    scheme = INT8 if hardware.device == "cpu" else FP8
    try:
        smaller = wanted.quantized(scheme)
    except StartupError:
        smaller = None
    if smaller and _fits(smaller, hardware):
        yield f"8-bit weights, {gib(smaller.sizes.bytes)}: --scheme {scheme.name} shows them"
    if hardware.device == "cpu":
        yield f"{gib(_least_memory(wanted, hardware))} of memory"
        return
    for model, with_scheme in ((wanted, ""), (smaller, f" --scheme {scheme.name}")):
        if model and (gpus := _fewest_gpus(model, hardware)):
            yield f"{gpus} GPUs: --gpus {gpus}{with_scheme}"


def _fits(wanted: Wanted, hardware: Hardware) -> bool:
    try:
        _check_shares(wanted)
        return _forecast(wanted, hardware).short_of is None
    except StartupError:
        return False


def _largest_context(wanted: Wanted, hardware: Hardware) -> int | None:
    context = memory.wanted_context(wanted.facts, wanted.settings.max_model_len)
    shorter = (length for length in (1 << power for power in range(19, 10, -1)) if length < context)
    return next((length for length in shorter if _fits(wanted.with_settings(max_model_len=length), hardware)), None)


def _fewest_gpus(wanted: Wanted, hardware: Hardware) -> int | None:
    now = wanted.settings.tensor_parallel_size
    more = (count for count in range(now + 1, _MOST_GPUS + 1) if count in (2, 4, 8, 16))
    return next((count for count in more if _fits(wanted.with_settings(tensor_parallel_size=count), hardware)), None)


def _least_memory(wanted: Wanted, hardware: Hardware) -> int:
    """Bytes, to an eighth of a GiB."""
    step = memory.GIB // 8
    low, high = hardware.memory // step, 1 << 20
    while low < high:
        middle = (low + high) // 2
        if _fits(wanted, replace(hardware, memory=middle * step)):
            high = middle
        else:
            low = middle + 1
    return low * step
