"""The child process that says what quantization costs: a model's predictions as it was, and as it is quantized.

python -m fathom.models.quality MODEL QUANTIZED SCHEME [--trust-remote-code]

Transformers computes both in float32, so that nothing but the quantization makes a difference; activations are rounded
as vLLM's kernels do it, token by token. It prints "measured DONE/TOTAL" and at the end the report, as JSON. The last
line is the error, if there is one.
"""

import json
import math
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from fathom.core.errors import StartupError
from fathom.models import weights
from fathom.models.schemes import INT8

PIECE, PIECES = 512, 4
"""Tokens that are read at a time, each piece without the one before; and how many pieces."""

_CHARACTERS = 40_000  # more than enough for the pieces
_LEAST = 1e-10  # of a scale: a token of zeros has none


@dataclass(frozen=True, slots=True)
class Predictions:
    """For each token but the first of a piece. loss: mean of -ln p. likeliest: the ids that greedy sampling takes."""

    loss: float
    likeliest: Tensor


def measure(path: Path, quantized: Path, scheme: str, *, trust: bool) -> dict[str, object]:
    """What quality.json holds. Raises StartupError where Transformers has other layers than the files."""
    pieces = pieces_of(path, trust=trust)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, trust_remote_code=trust)
    layers = _layers(model, quantized)
    before = predict(model, pieces, 0)
    replace(layers, quantized, scheme)
    after = predict(model, pieces, len(pieces))
    return {
        "scheme": scheme,
        "text": f"pydoc_data.topics of Python {platform.python_version()}",
        "tokens": pieces.numel(),
        "perplexity": {"original": round(math.exp(before.loss), 4), "quantized": round(math.exp(after.loss), 4)},
        "perplexity_change": round(math.exp(after.loss - before.loss) - 1, 5),
        "greedy_agreement": round((before.likeliest == after.likeliest).double().mean().item(), 5),
    }


def pieces_of(path: Path, *, trust: bool) -> Tensor:
    """Token ids of [pieces, tokens]: the beginning of a text that every Python has."""
    text = "\n".join(topics[name] for name in sorted(topics))[:_CHARACTERS]
    ids: Tensor = AutoTokenizer.from_pretrained(path, trust_remote_code=trust)(text, return_tensors="pt").input_ids[0]
    return ids[: len(ids) // PIECE * PIECE].view(-1, PIECE)[:PIECES]


@torch.inference_mode()
def predict(model: torch.nn.Module, pieces: Tensor, done: int) -> Predictions:
    losses, likeliest = [], []
    for number, piece in enumerate(pieces, done + 1):
        logits = model(piece[None]).logits[0, :-1]
        losses.append(cross_entropy(logits, piece[1:]).item())
        likeliest.append(logits.argmax(-1))
        print(f"measured {number}/{2 * len(pieces)}", flush=True)
    return Predictions(sum(losses) / len(losses), torch.cat(likeliest))


def _layers(model: torch.nn.Module, quantized: Path) -> dict[str, torch.nn.Linear]:
    """The model's layers by the names of their weights in the files."""
    modules = dict(model.named_modules())
    found = {}
    for file in weights.files(quantized):
        with safe_open(file, framework="pt") as tensors:
            names = set(tensors.keys())
        for name in (each for each in names if f"{each}_scale" in names):
            layer = modules.get(name.removesuffix(".weight"))
            if not isinstance(layer, torch.nn.Linear):
                raise StartupError(f"Transformers has no linear layer of its own for {name}")
            found[name] = layer
    return found


def replace(layers: dict[str, torch.nn.Linear], quantized: Path, scheme: str) -> None:
    """Give each layer what the quantized files hold for it, and have it round what comes in."""
    rounded = in_int8 if scheme == INT8.name else in_fp8
    for file in weights.files(quantized):
        with safe_open(file, framework="pt") as tensors:
            for name in layers.keys() & set(tensors.keys()):
                scale = tensors.get_tensor(f"{name}_scale")
                layers[name].weight.data = tensors.get_tensor(name).float() * scale
                layers[name].register_forward_pre_hook(_rounding(rounded))


def _rounding(rounded: Callable[[Tensor], Tensor]) -> Callable[[torch.nn.Module, tuple[Tensor]], tuple[Tensor]]:
    return lambda _layer, inputs: (rounded(inputs[0]),)


def in_int8(activations: Tensor) -> Tensor:
    """The nearest values that int8 has, with a scale for each token."""
    scale = _scale(activations, torch.iinfo(torch.int8).max)
    return (activations / scale).round() * scale


def in_fp8(activations: Tensor) -> Tensor:
    """The same of float8_e4m3fn."""
    scale = _scale(activations, torch.finfo(torch.float8_e4m3fn).max)
    return (activations / scale).to(torch.float8_e4m3fn).float() * scale


def _scale(activations: Tensor, largest: float) -> Tensor:
    return (activations.abs().amax(-1, keepdim=True) / largest).clamp(min=_LEAST)


def main(model: str, quantized: str, scheme: str, *options: str) -> None:
    try:
        print(json.dumps(measure(Path(model), Path(quantized), scheme, trust="--trust-remote-code" in options)))
    except StartupError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
