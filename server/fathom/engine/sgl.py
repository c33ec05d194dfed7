"""Linear layers by SGLang's kernels for CPUs, which are part of vLLM (docs/adr/0027).

vLLM takes them where a CPU has AMX, for INT8 and small matrices, and oneDNN's otherwise. They know VNNI and AVX-512
BF16, too, and there a row takes them half of the time: they round activations and multiply in one operator, and one
core reads its weights in blocks that follow each other.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fathom.engine.packing import Call

_LONGEST = 8192
"""Bytes of a row of weights. Beyond, oneDNN is faster with many rows of activations (docs/performance.md)."""
_TYPES = (torch.bfloat16, torch.int8)


def fits(weight: Tensor) -> bool:
    """weight: shape (out, in)."""
    out, into = weight.shape
    return _fits(out, into, weight.dtype)


def _fits(out: int, into: int, dtype: torch.dtype) -> bool:
    blocks = out % 16 == 0 and into % 32 == 0  # rows and columns that the kernels take at a time
    return dtype in _TYPES and blocks and into * dtype.itemsize <= _LONGEST


def blocked(weight: Tensor) -> Call:
    """weight: shape (out, in), bfloat16. What the layer is called with is bfloat16, too."""
    out = len(weight)
    matrix = torch.ops._C.convert_weight_packed(weight.contiguous())
    multiply = torch.ops._C.weight_packed_linear.default

    def rows(x: Tensor, bias: Tensor | None) -> Tensor:
        y = x.new_empty((len(x), out))
        multiply(y, x, matrix, None if bias is None else bias.float(), True)
        return y

    return _of_rows(rows, out)


def take_int8(cpu: Any, wanted: Callable[[], bool]) -> None:
    """cpu: vLLM's module of kernels for W8A8 on CPUs. wanted: whether these are to be taken without AMX."""
    check, prepare = cpu.check_cpu_sgl_kernel, cpu.CPUInt8ScaledMMLinearKernel.process_weights_for_sgl

    def check_or_fits(out: int, into: int, dtype: torch.dtype) -> bool:
        return check(out, into, dtype) or (wanted() and _fits(out, into, dtype))

    def prepare_and_give(kernel: Any, layer: Any) -> None:
        prepare(kernel, layer)
        call = _int8(layer)
        layer.cpu_linear = lambda x, _weight, bias: call(x, bias)  # where engine/straight.py looks
        kernel.linear_method = lambda _layer, x, bias: call(x, bias)

    cpu.check_cpu_sgl_kernel = check_or_fits
    cpu.CPUInt8ScaledMMLinearKernel.process_weights_for_sgl = prepare_and_give


def _int8(layer: Any) -> Call:
    """What vLLM's layer does in the end, for rows of any dimensions."""
    weight, scale, added = layer.weight, layer.weight_scale, getattr(layer, "bias_fp32", None)
    multiply = torch.ops._C.int8_scaled_mm_with_quant.default

    def rows(x: Tensor, bias: Tensor | None) -> Tensor:
        y: Tensor = multiply(x, weight, scale, None if bias is None else added, x.dtype, True)
        return y

    return _of_rows(rows, len(weight))


def _of_rows(multiply: Call, out: int) -> Call:
    """multiply: takes one row or more, that lie in one piece."""

    def call(x: Tensor, bias: Tensor | None) -> Tensor:
        if x.ndim == 2 and len(x):
            return multiply(x.contiguous(), bias)
        if not x.numel():  # it would end the process
            return x.new_empty((*x.shape[:-1], out))
        return multiply(x.reshape(-1, x.shape[-1]).contiguous(), bias).view(*x.shape[:-1], out)

    return call
