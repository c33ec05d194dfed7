"""From settings to a loaded engine: every blocking step of a start, in order."""

import logging as stdlib_logging
import os
import re
import threading
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from fathom.core.engine import ModelCard, Phase, Progress
from fathom.core.errors import StartupError
from fathom.engine import machine
from fathom.models import profiles
from fathom.models.facts import ModelFacts
from fathom.models.fetch import PreparedModel, prepare
from fathom.models.memory import plan_memory
from fathom.models.profiles import Profile
from fathom.settings import ReasoningSettings, Settings
from fathom.telemetry.logging import engine_log_config

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
    prepared = prepare(
        settings.model.model,
        settings.home,
        progress,
        cancel=cancel,
        trust_remote_code=settings.model.trust_remote_code,
    )
    profile = _profile(settings, prepared.facts)
    _check_adapters(settings.engine.lora)
    device = machine.device()
    plan = plan_memory(prepared.facts, settings.engine, device)
    progress(Phase.IMPORTING, None)
    config, engine_log = engine_log_config(settings.home / "logs", _log_name(settings), settings.telemetry)
    os.environ["VLLM_LOGGING_CONFIG_PATH"] = str(config)
    for choice in machine.choose(settings.engine):
        os.environ[choice.name] = choice.value
        log.info("engine choice", name=choice.name, value=choice.value, why=choice.why)
    machine.load_libnuma()
    stdlib_logging.getLogger("vllm").setLevel(stdlib_logging.WARNING)  # until vLLM reads its config
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from vllm.v1.engine.async_llm import AsyncLLM  # seconds, and it reads the environment

        from fathom.engine.core import Core
        from fathom.engine.options import engine_args

    args = engine_args(prepared, profile, settings.model, settings.engine, plan, device)

    def launch(steps: "Steps") -> "AsyncLLM":
        try:
            return AsyncLLM.from_engine_args(args, stat_loggers=[lambda _config, _index=0: steps])
        except Exception as error:  # noqa: BLE001 - vLLM raises whatever it meets; one line says it, the log has it all
            raise StartupError(
                f"the engine did not start: {_root_cause(engine_log, error)} (all of it: {engine_log})"
            ) from None

    progress(Phase.LOADING, None)
    core = Core(launch, engine_log, settings.engine.hang_timeout or _hang_timeout(prepared.facts, device))
    profile = replace(profile, fim=profiles.fill_tokens(core.llm.get_tokenizer().get_vocab()))
    return Loaded(core, profile, _card(settings, prepared, profile, core.llm, device))


def _hang_timeout(facts: ModelFacts, device: str) -> float:
    """Seconds. On a CPU, one step that reads a long prompt takes as long as the model is large."""
    gib = facts.weight_bytes / 2**30 if device == "cpu" else 1
    return _HANG_TIMEOUT[device] * max(1.0, gib)


def _check_adapters(lora: dict[str, str]) -> None:
    for name, folder in lora.items():
        if not (Path(folder) / "adapter_config.json").is_file():
            raise StartupError(f"LoRA adapter {name!r}: {folder} is no adapter, it holds no adapter_config.json")


def _log_name(settings: Settings) -> str:
    """Servers that share a FATHOM_HOME have different ports."""
    return f"engine-{settings.http.port or os.getpid()}"


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
        dtype=str(model.dtype).removeprefix("torch."),
        context_length=model.max_model_len,
        kv_cache_tokens=cached,
        created=int(time.time()),
        max_num_seqs=config.scheduler_config.max_num_seqs * config.parallel_config.data_parallel_size,
        adapters=tuple(settings.engine.lora),
        embeds=model.runner_type == "pooling",
        fills=profile.fim is not None,
        sampling={name: value for name, value in sampling.items() if name != "max_tokens"},
    )


def _root_cause(engine_log: Path, error: Exception) -> str:
    """The last exception in vLLM's log that says more than that something failed."""
    causes = [f"{kind}: {text}" for kind, text in _CAUSE.findall(engine_log.read_text(errors="replace"))]
    telling = [cause for cause in causes if not any(wrapper in cause for wrapper in _WRAPPERS)]
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return telling[-1] if telling else f"{type(error).__name__}: {first_line}"
