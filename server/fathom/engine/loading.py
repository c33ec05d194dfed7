"""From settings to a loaded engine: every blocking step of a start, in order."""

import logging as stdlib_logging
import re
import threading
import time
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from fathom.core.engine import ModelCard, Phase, Progress
from fathom.core.errors import StartupError
from fathom.engine import choices, decided, environment, left_out, machine, nursery, speculation
from fathom.models import profiles
from fathom.models.facts import ModelFacts
from fathom.models.fetch import PreparedModel, in_int8, prepare
from fathom.models.memory import available_memory, plan_memory
from fathom.models.profiles import Profile
from fathom.models.schemes import INT8, by_format
from fathom.models.source import Embedded, parse
from fathom.settings import ReasoningSettings, Settings

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

    from fathom.engine.core import Core, Steps

log = structlog.get_logger()

_CAUSE = re.compile(r"^(?:.*\s)?((?:[\w.]+\.)?\w*(?:Error|Exception)): (.+)$", re.MULTILINE)
_HANG_TIMEOUT = {"cpu": 60.0, "cuda": 30.0}
_WRAPPERS = ("Engine core initialization failed", "WorkerProc initialization failed")


@dataclass(frozen=True, slots=True)
class Loaded:
    core: "Core"
    profile: Profile
    card: ModelCard


def load(settings: Settings, progress: Progress, cancel: threading.Event) -> Loaded:
    """Blocking: seconds to minutes. `cancel` ends a download or a conversion. Raises StartupError."""
    chosen, engine_log = environment.set_up(settings)
    device = machine.device()
    prepared = _prepare(settings, device, progress, cancel)
    profile = _profile(settings, prepared.facts)
    _check_adapters(settings.engine.lora)
    guessing = speculation.prepare(settings, prepared, progress, cancel)
    available, asked = available_memory(), decided.for_vllm(settings.engine)
    decision = decided.decide(asked, guessing.facts, device, machine.cpu_flags(), available)
    plan = plan_memory(guessing.facts, decision.settings, device, available, decision.extra)
    progress(Phase.IMPORTING, None)
    for choice in [*chosen, *choices.engine(decision.settings, guessing.facts, plan, device, decision)]:
        log.info("engine choice", **asdict(choice))
    machine.load_libnuma()
    left_out.leave_out_tracing(settings.engine.args)
    stdlib_logging.getLogger("vllm").setLevel(stdlib_logging.WARNING)  # until vLLM reads its config
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from vllm.envs import enable_envs_cache
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM  # seconds, and it reads the environment

        from fathom.engine.core import Core
        from fathom.engine.deltas import take_deltas
        from fathom.engine.options import engine_args

        if nursery.wanted(settings.engine, device):
            nursery.take_engines()
            if choices.in_process(decision.settings, device):
                left_out.leave_out_quantization()

    args = engine_args(
        prepared, profile, settings.model, decision.settings, plan, device, decision.form, guessing.config
    )

    def launch(steps: "Steps") -> "AsyncLLM":
        try:
            llm = AsyncLLM.from_engine_args(
                args,
                usage_context=UsageContext.OPENAI_API_SERVER,  # batch limits by the GPU, as for vLLM's own server
                stat_loggers=[lambda _config, _index=0: steps],
            )
        except Exception as error:  # noqa: BLE001 - vLLM raises whatever it meets; one line says it, the log has it all
            raise StartupError(
                f"the engine did not start: {_root_cause(engine_log, error)} (all of it: {engine_log})"
            ) from None
        take_deltas(llm)
        return llm

    progress(Phase.LOADING, None)
    core = Core(launch, engine_log, settings.engine.hang_timeout or _hang_timeout(prepared.facts, device))
    enable_envs_cache()  # vLLM looks at some of its variables with every token; its own processes do this, too
    profile = replace(profile, fim=profiles.fill_tokens(core.llm.get_tokenizer().get_vocab()))
    return Loaded(core, profile, _card(settings, prepared, profile, core.llm, device))


def _prepare(settings: Settings, device: str, progress: Progress, cancel: threading.Event) -> PreparedModel:
    """The embedded model in INT8 where that was chosen. What Fathom chose by itself stops no start."""
    name, trust = settings.model.model, settings.model.trust_remote_code
    embedded = isinstance(parse(name), Embedded)
    if not embedded:
        decided.refuse_int8(settings.engine, str(name))
    prepared = prepare(name, settings.home, progress, cancel=cancel, trust_remote_code=trust)
    if not embedded:
        return prepared
    choice = decided.embedded_weights(settings.engine, device, machine.cpu_flags())
    log.info("engine choice", name=choice.name, value=choice.value, why=choice.why)
    if choice.value != INT8.name:
        return prepared
    try:
        return in_int8(prepared, settings.home, progress, cancel)
    except StartupError as error:
        if cancel.is_set() or settings.engine.dtype == INT8.name:
            raise
        log.warning("no int8", reason=str(error), instead="the original is served")
        return prepared


def _hang_timeout(facts: ModelFacts, device: str) -> float:
    """Seconds. On a CPU, one step that reads a long prompt takes as long as the model is large."""
    gib = facts.weight_bytes / 2**30 if device == "cpu" else 1
    return _HANG_TIMEOUT[device] * max(1.0, gib)


def _check_adapters(lora: dict[str, str]) -> None:
    for name, folder in lora.items():
        if not (Path(folder) / "adapter_config.json").is_file():
            raise StartupError(f"LoRA adapter {name!r}: {folder} is no adapter, it holds no adapter_config.json")


def _profile(settings: Settings, facts: ModelFacts) -> Profile:
    named = settings.model.profile or ("plain" if facts.sentence_encoder else None)
    profile = profiles.by_name(named) if named else profiles.pick(facts.model_type, facts.chat_template)
    parser = settings.model.tool_parser or profile.tool_parser
    return _with_settings(replace(profile, tool_parser=parser), settings.reasoning)


def _with_settings(profile: Profile, settings: ReasoningSettings) -> Profile:
    if profile.reasoning is None:
        return profile
    reasoning = profile.reasoning
    if settings.thinking is not None:
        reasoning = replace(reasoning, default_on=settings.thinking)
    if settings.default_budget is not None:
        reasoning = replace(reasoning, budget=settings.default_budget)
    return replace(profile, reasoning=reasoning)


def _card(settings: Settings, prepared: PreparedModel, profile: Profile, llm: "AsyncLLM", device: str) -> ModelCard:
    config, model = llm.vllm_config, llm.model_config
    cache = config.cache_config
    sampling = model.get_diff_sampling_param() | profile.sampling
    cached = 0 if model.attn_type == "encoder_only" else (cache.num_gpu_blocks or 0) * cache.block_size
    return ModelCard(
        id=settings.model.served_name or prepared.id,
        source=prepared.source,
        profile=profile.name,
        device=f"cpu ({machine.cpu_model()})" if device == "cpu" else device,
        dtype=_dtype(prepared.facts, str(model.dtype).removeprefix("torch.")),
        context_length=model.max_model_len,
        kv_cache_tokens=cached,
        created=int(time.time()),
        max_num_seqs=config.scheduler_config.max_num_seqs * config.parallel_config.data_parallel_size,
        adapters=tuple(settings.engine.lora),
        embeds=model.runner_type == "pooling",
        fills=profile.fim is not None,
        sampling={name: value for name, value in sampling.items() if name != "max_tokens"},
    )


def _dtype(facts: ModelFacts, computed: str) -> str:
    """`computed`: the type that activations have between the layers."""
    quantized = by_format(facts.config.get("quantization_config"))
    return f"{quantized} ({computed} model)" if quantized else computed


def _root_cause(engine_log: Path, error: Exception) -> str:
    """The last exception in vLLM's log that says more than that something failed."""
    causes = [f"{kind}: {text}" for kind, text in _CAUSE.findall(engine_log.read_text(errors="replace"))]
    telling = [cause for cause in causes if not any(wrapper in cause for wrapper in _WRAPPERS)]
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return telling[-1] if telling else f"{type(error).__name__}: {first_line}"
