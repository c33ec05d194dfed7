"""Our settings to vLLM's AsyncEngineArgs."""

import dataclasses
from typing import Any

from vllm.engine.arg_utils import AsyncEngineArgs

from fathom.core.batch import engine_places
from fathom.core.errors import StartupError
from fathom.engine import norms
from fathom.engine.choices import compiled, in_process
from fathom.engine.decided import Form
from fathom.engine.in_process import InProcessExecutor
from fathom.models.fetch import PreparedModel
from fathom.models.memory import CPU_MAX_NUM_SEQS, MemoryPlan
from fathom.models.profiles import Profile
from fathom.settings import EngineSettings, ModelSettings, nearest


def engine_args(
    prepared: PreparedModel,
    profile: Profile,
    model: ModelSettings,
    settings: EngineSettings,
    plan: MemoryPlan,
    device: str,
    form: Form | None = None,
    speculative: dict[str, Any] | None = None,
) -> AsyncEngineArgs:
    """form: of the weights of linear layers. Raises StartupError for a name in `engine.args` that AsyncEngineArgs does
    not have."""
    fields = _named(settings, plan, device) | {
        "speculative_config": speculative,
        "model": str(prepared.path),
        "served_model_name": model.served_name or prepared.id,
        "trust_remote_code": model.trust_remote_code,
        "reasoning_config": _reasoning_config(profile),
        "structured_outputs_config": {"backend": "xgrammar"},  # "auto" may take another, with other rules than we check
        "compilation_config": _compilation_config(prepared, device),
        "ir_op_priority": norms.PRIORITY if device == "cpu" and not compiled(settings, device) else None,
        "attention_backend": _attention_backend(prepared, settings, device),
        "distributed_executor_backend": InProcessExecutor if in_process(settings, device) else None,
        "use_tqdm_on_load": False,
        "enable_log_requests": False,
    }
    _check(settings.args)
    chosen = {name: value for name, value in (fields | settings.args).items() if value is not None}
    if form:
        chosen["additional_config"] = {"fathom_linear": form, **chosen.get("additional_config", {})}
    return AsyncEngineArgs(**chosen)


def _named(settings: EngineSettings, plan: MemoryPlan, device: str) -> dict[str, Any]:
    on_cpu = device == "cpu"
    seqs = settings.max_num_seqs or (CPU_MAX_NUM_SEQS if on_cpu else None)
    return {
        "dtype": settings.dtype,
        "quantization": settings.quantization,
        "max_model_len": plan.max_model_len,
        "max_num_seqs": engine_places(seqs) if seqs else None,
        "max_num_batched_tokens": settings.max_num_batched_tokens,
        "kv_cache_memory_bytes": plan.kv_bytes,
        "kv_cache_dtype": settings.kv_cache_dtype,
        "gpu_memory_utilization": settings.gpu_memory_utilization,
        "tensor_parallel_size": settings.tensor_parallel_size,
        "pipeline_parallel_size": settings.pipeline_parallel_size,
        "enable_lora": bool(settings.lora),
        "max_loras": len(settings.lora) or None,
        "seed": settings.seed,
        "enable_prefix_caching": _where_possible(settings.prefix_caching),
        "enable_chunked_prefill": _where_possible(settings.chunked_prefill),
        "enforce_eager": not compiled(settings, device),
    }


def _where_possible(wanted: bool) -> bool | None:
    """What is on by default is left to vLLM, which knows the models that break with it: encoders cache nothing."""
    return None if wanted else False


def _reasoning_config(profile: Profile) -> dict[str, str] | None:
    """vLLM ends a trace at its budget by forcing `reasoning_end_str`; it must be the delimiter that we look for."""
    if profile.reasoning is None:
        return None
    return {"reasoning_start_str": profile.reasoning.start, "reasoning_end_str": profile.reasoning.end}


def _compilation_config(prepared: PreparedModel, device: str) -> dict[str, list[str]] | None:
    """With latent attention (DeepSeek), vLLM 0.32's CPU kernel for rotary embeddings gives silently wrong answers; such
    models take the PyTorch version instead. docs/adr/0006 has the measurement."""
    wrong = device == "cpu" and prepared.facts.latent_attention
    return {"custom_ops": ["all", "-rotary_embedding"]} if wrong else None


def _attention_backend(prepared: PreparedModel, settings: EngineSettings, device: str) -> str | None:
    """vLLM 0.32 takes its AMX kernels for latent attention wherever there are AMX tiles, and then fails on weights of
    float32, which those kernels do not know."""
    unknown = device == "cpu" and prepared.facts.latent_attention and settings.dtype == "float32"
    return "CPU_MLA" if unknown else None


def _check(args: dict[str, Any]) -> None:
    known = [field.name for field in dataclasses.fields(AsyncEngineArgs)]
    for name in args:
        if name not in known:
            raise StartupError(
                f"unknown setting 'engine.args.{name}': vLLM's AsyncEngineArgs has no such field.{nearest(name, known)}"
            )
