"""In which type a model computes: decided by what the CPU can do, unless the user says."""

from collections.abc import Collection

from fathom.core.errors import StartupError
from fathom.engine.machine import Choice
from fathom.models.facts import ModelFacts
from fathom.models.schemes import INT8
from fathom.settings import EngineSettings

FAST = ("amx_int8", "avx512_vnni", "avx_vnni")
"""Flags of CPUs that multiply and add 8-bit integers in one instruction, best first."""

_NAME = "weights of the embedded model"
_WIDER = "avx512f"
"""Without it, oneDNN has no multiplication for 16-bit floats, and PyTorch's own is 2 to 8 times slower than that of
float32, but for a single row (docs/performance.md)."""


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
    fast = next((flag for flag in FAST if flag in flags), None)
    if fast is None:
        return _original(f"this CPU has none of {', '.join(FAST)}, without which INT8 is slow")
    return Choice(_NAME, INT8.name, f"this CPU has {fast}; --dtype bfloat16 serves the original")


def _original(why: str) -> Choice:
    return Choice(_NAME, "original", why)


def computed_in(
    settings: EngineSettings, facts: ModelFacts, device: str, flags: Collection[str], available: int
) -> Choice:
    """The type between the layers, and that of weights which are not quantized. available: bytes of memory, of which
    wider weights may take half. Raises StartupError for an unknown type."""
    value = facts.computed_in(settings.dtype)
    if settings.dtype != "auto":
        return Choice("dtype", value, "engine.dtype")
    wide = facts.weight_bytes * facts.widening("float32")
    if device == "cpu" and _WIDER not in flags and not facts.quantized and wide <= available / 2:
        return Choice("dtype", "float32", f"this CPU has no {_WIDER}, without which {value} is slow")
    same = value == facts.dtype
    return Choice("dtype", value, "as the model's config says" if same else f"half of the {facts.dtype} of its config")


def settled(settings: EngineSettings, dtype: Choice) -> EngineSettings:
    """With the type that was chosen, where vLLM would choose another one by itself."""
    return settings.model_copy(update={"dtype": dtype.value}) if dtype.value == "float32" else settings


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
