"""The ways to quantize a model, as data; quantization.py does it."""

from dataclasses import dataclass

from fathom.core.errors import StartupError


@dataclass(frozen=True, slots=True)
class Scheme:
    """preset: compressed-tensors' name for it: symmetric weights with a scale for each output channel, activations with
    one for each token, made as they come. format: how the weights lie in the files, as vLLM reads them. kept:
    projections that stay as they are.
    """

    name: str
    preset: str
    format: str
    kept: tuple[str, ...] = ()


_ATTENTION_INPUTS = ("q_proj", "k_proj", "v_proj", "qkv_proj")  # what they read loses most in int8: docs/adr/0019
INT8 = Scheme("int8", preset="W8A8", format="int-quantized", kept=_ATTENTION_INPUTS)
FP8 = Scheme("fp8", preset="FP8_DYNAMIC", format="float-quantized")
SCHEMES = (INT8, FP8)


def by_name(name: str) -> Scheme:
    """Raises StartupError for a name that is not in SCHEMES."""
    for scheme in SCHEMES:
        if scheme.name == name:
            return scheme
    raise StartupError(f"unknown scheme {name!r}: choose one of {', '.join(each.name for each in SCHEMES)}.")


def by_format(config: object) -> str | None:
    """The name of the scheme that a checkpoint's `quantization_config` tells of, None for any other."""
    if not isinstance(config, dict):
        return None
    return next((scheme.name for scheme in SCHEMES if scheme.format == config.get("format")), None)
