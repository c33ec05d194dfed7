"""The child process that quantizes a folder of safetensors, file by file, so that it never holds more than one.

python -m fathom.models.quantization FOLDER TARGET SCHEME

It writes weights, index and config.json, and a line for what is done: "quantized BYTES". The last line is the error,
if there is one.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from compressed_tensors.quantization import (
    QuantizationArgs,
    QuantizationConfig,
    QuantizationStatus,
    preset_name_to_scheme,
)
from compressed_tensors.quantization.lifecycle.forward import quantize
from compressed_tensors.quantization.utils import calculate_qparams
from safetensors import safe_open
from safetensors.torch import save_file

from fathom.core.errors import StartupError
from fathom.models import schemes, weights
from fathom.models.projections import is_other_matrix, is_quantized
from fathom.models.schemes import Scheme


def convert(source: Path, target: Path, scheme: Scheme) -> None:
    """Raises StartupError in one line."""
    args = preset_name_to_scheme(scheme.preset, ["Linear"]).weights
    assert args is not None, "every preset that we use has weights"
    index: dict[str, str] = {}
    total, ignored = 0, {"lm_head"}
    for file in weights.files(source):
        tensors = _tensors(file, scheme, args)
        save_file(tensors, target / file.name, metadata={"format": "pt"})
        index |= dict.fromkeys(tensors, file.name)
        total += sum(tensor.nbytes for tensor in tensors.values())
        others = (name for name in tensors if is_other_matrix(name, tensors[name].shape, scheme))
        ignored |= {name.removesuffix(".weight") for name in others}
    if (source / weights.INDEX).is_file():
        _write(target / weights.INDEX, {"metadata": {"total_size": total}, "weight_map": index})
    config = json.loads((source / "config.json").read_bytes())
    _write(target / "config.json", config | {"quantization_config": _config(scheme, sorted(ignored))})


def _tensors(path: Path, scheme: Scheme, args: QuantizationArgs) -> dict[str, torch.Tensor]:
    """Everything in the file, the projections quantized, each with its scales beside it."""
    tensors: dict[str, torch.Tensor] = {}
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 - it is no dict
            tensor = file.get_tensor(name)
            if is_quantized(name, tensor.shape, scheme):
                tensors[name], tensors[f"{name}_scale"] = quantized(tensor, args, name)
            else:
                tensors[name] = tensor
            print("quantized", tensor.nbytes, flush=True)
    return tensors


def quantized(weight: torch.Tensor, args: QuantizationArgs, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The weight of [outputs, inputs] in 8 bits, and scales of [outputs, 1] in float32; their product is near the
    weight. Raises StartupError for one with numbers that are none."""
    exact = weight.float()
    scale, zero_point = calculate_qparams(exact.amin(1, keepdim=True), exact.amax(1, keepdim=True), args)
    if not scale.isfinite().all():
        raise StartupError(f"{name} holds values that are not finite: fetch the model again.")
    return quantize(exact, scale, zero_point, args, dtype=args.pytorch_dtype()), scale


def _config(scheme: Scheme, ignored: list[str]) -> dict[str, Any]:
    config = QuantizationConfig(
        config_groups={"group_0": preset_name_to_scheme(scheme.preset, ["Linear"])},
        format=scheme.format,
        ignore=ignored,
        quantization_status=QuantizationStatus.COMPRESSED,
    )
    written: dict[str, Any] = config.model_dump(mode="json")
    return written


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def main(source: str, target: str, scheme: str) -> None:
    try:
        convert(Path(source), Path(target), schemes.by_name(scheme))
    except StartupError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
