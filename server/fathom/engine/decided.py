"""In which type a model computes: decided by what the CPU can do, unless the user says."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from fathom.core.errors import StartupError
from fathom.engine.machine import Choice
from fathom.models.facts import ModelFacts, experts, text_config
from fathom.models.memory import MemoryPlan, plan_memory
from fathom.models.schemes import INT8, by_format
from fathom.settings import EngineSettings

FAST = ("amx_int8", "avx512_vnni", "avx_vnni")
"""Flags of CPUs that multiply and add 8-bit integers in one instruction, best first."""

Form = Literal["packed", "converted", "sgl"]
"""Of the weights of linear layers (engine/linear.py): float16, packed for FBGEMM; INT8, converted for batches; or as
they are, in blocks for SGLang's kernels."""

_WEIGHTS: dict[Form, str] = {
    "packed": "weights in float16, packed for FBGEMM",
    "converted": "weights in INT8, converted for batches",
    "sgl": "weights in blocks, for SGLang's kernels",
}

_NAME = "weights of the embedded model"
_WIDER = "avx512f"
"""Without it, oneDNN has no multiplication for 16-bit floats, and PyTorch's own is slow (docs/performance.md)."""
_FBGEMM = "avx2"
"""What it takes."""
SGL = ("avx512_bf16", "avx512_vnni")
"""What SGLang's kernels take; with AMX, vLLM knows itself when they are best."""


@dataclass(frozen=True, slots=True)
class Decision:
    """settings: as asked for, with the type that was chosen. form: None where vLLM's own layers will do. extra: bytes
    of packed weights besides the model's."""

    settings: EngineSettings
    choices: tuple[Choice, ...]
    form: Form | None
    extra: int


def embedded_weights(settings: EngineSettings, device: str, flags: Collection[str]) -> Choice:
    """The choice's value is "int8" or "original". flags: the CPU's, as Linux names them."""
    if settings.dtype == INT8.name:
        return Choice(_NAME, INT8.name, "engine.dtype")
    if settings.dtype != "auto":
        return _original(f"engine.dtype is {settings.dtype}")
    if settings.quantization:
        return _original(f"engine.quantization is {settings.quantization}")
    if settings.lora:
        return _original("LoRA adapters were made for it")
    if device != "cpu":
        return _original("a GPU has room for it")
    fast = _fast(flags)
    if fast is None:
        return _original(f"this CPU has none of {', '.join(FAST)}, and gains nothing by INT8")
    return Choice(_NAME, INT8.name, f"this CPU has {fast}; --dtype bfloat16 serves the original")


def in_blocks(flags: Collection[str]) -> bool:
    """Whether a CPU that has these multiplies best with weights in blocks."""
    return {*SGL} <= set(flags) and "amx_tile" not in flags


def _original(why: str) -> Choice:
    return Choice(_NAME, "original", why)


def decide(
    settings: EngineSettings, facts: ModelFacts, device: str, flags: Collection[str], available: int
) -> Decision:
    """flags: the CPU's. available: bytes of memory. Raises StartupError for what cannot be done as asked."""
    form, why = linear_layers(settings, facts, device, flags, available)
    dtype = computed_in(settings, facts, device, flags, available, form)
    if dtype.value == "float32":  # which vLLM would not choose by itself
        settings = settings.model_copy(update={"dtype": "float32"})
    layers = (Choice("linear layers", _WEIGHTS[form], why),) if form else ()
    return Decision(settings, (dtype, *layers), form, _extra(facts, form))


def computed_in(
    settings: EngineSettings, facts: ModelFacts, device: str, flags: Collection[str], available: int, form: Form | None
) -> Choice:
    """The type between the layers, of the KV cache, and of weights which are not quantized. available: bytes of memory,
    of which wider weights may take half. Raises StartupError for an unknown type."""
    value = facts.computed_in(settings.dtype)
    if settings.dtype != "auto":
        return Choice("dtype", value, "engine.dtype")
    kept = form == "converted" or (facts.quantized and form is None)
    if _narrow(device, flags) and not kept and _widens(settings, facts, available, form):
        return Choice("dtype", "float32", f"this CPU has no {_WIDER}, without which {value} is slow")
    same = value == facts.dtype
    return Choice("dtype", value, "as the model's config says" if same else f"half of the {facts.dtype} of its config")


def linear_layers(
    settings: EngineSettings, facts: ModelFacts, device: str, flags: Collection[str], available: int
) -> tuple[Form | None, str]:
    """In which form their weights are, and why; None where vLLM's own layers will do. Raises StartupError for packed
    weights that were asked for and cannot be."""
    asked = settings.packed_weights
    if asked != "on" and _blocked(settings, facts, device, flags):
        return "sgl", f"this CPU has {' and '.join(SGL)}, and multiplies few rows fastest with these"
    if device != "cpu" or _FBGEMM not in flags or not _narrower(settings, facts) or not _dense(facts):
        if asked == "on":
            raise StartupError(
                f"engine.packed_weights = 'on' is for a CPU with {_FBGEMM}, and for weights of 16 bits or INT8; models "
                "with experts or latent attention and encoders have none: leave it out."
            )
        return None, ""
    if asked == "on":
        return "packed", "engine.packed_weights"
    if not _narrow(device, flags) or (facts.quantized and _fast(flags)):
        return None, ""
    if asked == "off":
        return ("converted" if facts.quantized else None), "engine.packed_weights"
    why = f"this CPU has no {_WIDER}, and multiplies these fastest"
    if facts.quantized and not _packs(settings, facts, available):
        return "converted", f"this CPU has no {_WIDER}; weights in float16 take too much memory"
    return "packed", why


def _narrower(settings: EngineSettings, facts: ModelFacts) -> bool:
    """Whether its weights, as they are loaded, have 16 bits, or 8 of INT8."""
    if settings.quantization:
        return False
    if facts.quantized:
        return by_format(facts.config.get("quantization_config")) == INT8.name
    return facts.computed_in(settings.dtype) != "float32"


def _blocked(settings: EngineSettings, facts: ModelFacts, device: str, flags: Collection[str]) -> bool:
    here = device == "cpu" and settings.sgl_kernels and in_blocks(flags)
    return here and _narrower(settings, facts) and facts.computed_in(settings.dtype) == "bfloat16"


def _packs(settings: EngineSettings, facts: ModelFacts, available: int) -> bool:
    """INT8 of twice the bytes takes no more than half of the memory, and leaves what else it takes."""
    plan = _plan(settings, facts, available, "packed")
    return plan is not None and plan.weight_bytes <= available / 2


def _widens(settings: EngineSettings, facts: ModelFacts, available: int, form: Form | None) -> bool:
    """Weights in float32 take no more than half of the memory, and the KV cache in float32 fits, if any does."""
    if facts.weight_bytes * facts.widening("float32") > available / 2:
        return False
    wide = settings.model_copy(update={"dtype": "float32"})
    return bool(_plan(wide, facts, available, form) or not _plan(settings, facts, available, form))


def _plan(settings: EngineSettings, facts: ModelFacts, available: int, form: Form | None) -> MemoryPlan | None:
    """None: it does not fit."""
    try:
        return plan_memory(facts, settings, "cpu", available, _extra(facts, form))
    except StartupError:
        return None


def _extra(facts: ModelFacts, form: Form | None) -> int:
    """INT8 weights that are packed become twice as large; vLLM keeps the head and its table besides what is packed."""
    if form in (None, "sgl"):
        return 0
    wider = facts.float16_bytes - facts.weight_bytes if facts.quantized and form == "packed" else 0
    return wider + 2 * facts.table_values


def _fast(flags: Collection[str]) -> str | None:
    return next((flag for flag in FAST if flag in flags), None)


def _narrow(device: str, flags: Collection[str]) -> bool:
    return device == "cpu" and _WIDER not in flags


def _dense(facts: ModelFacts) -> bool:
    """Whether its large layers are engine/linear.py's, and its weights not meant to be exact: experts and latent
    attention are multiplied elsewhere, and vectors of encoders are compared."""
    dense = experts(text_config(facts.config)) == (1, 1) and not facts.latent_attention
    return dense and not facts.sentence_encoder


def for_vllm(settings: EngineSettings) -> EngineSettings:
    """vLLM takes the type of what is not quantized; INT8 it reads from the checkpoint."""
    return settings.model_copy(update={"dtype": "auto"}) if settings.dtype == INT8.name else settings


def refuse_int8(settings: EngineSettings, model: str) -> None:
    """Of a model that is not the embedded one. Raises StartupError."""
    if settings.dtype == INT8.name:
        raise StartupError(
            f"--dtype int8 is for the embedded model: run `fathom quantize {model} --scheme int8`, which prints how to "
            "serve what it makes."
        )
