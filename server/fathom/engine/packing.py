"""Layers of 16 bits and INT8 on a CPU that is slow with such numbers (docs/adr/0024).

FBGEMM, which is part of PyTorch, multiplies activations of float32 with packed weights of float16. For a row it reads
half of what float32 would be, and thousands are as fast as with oneDNN in float32. Where memory has no room for twice
the bytes of INT8 weights, a row is multiplied with them as they lie there, and many rows with what they are converted
to, a slice at a time.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Call = Callable[[Tensor, Tensor | None], Tensor]
"""A layer. Takes x of shape (..., in) and a bias, or None; returns shape (..., out) in the type of x."""

_LARGEST = torch.finfo(torch.float16).max
_FEW = 80  # rows for which INT8 weights are taken as they are: about where times cross (docs/performance.md)
_SLICE = 1 << 22  # weights that are converted at a time, of 4 bytes then
_TAIL = 16  # PyTorch's kernel for int8 reads so many weights of a row at a time, and never fewer

_pack = torch.ops.quantized.linear_prepack_fp16.default
_by_float16 = torch.ops.quantized.linear_dynamic_fp16.default
_plain = torch._C.DisableTorchFunctionSubclass
_by_int8 = torch.ops.aten._weight_int8pack_mm.default
"""Fast for activations in bfloat16, and 4 to 6 times slower for others."""


def packable(weight: Tensor) -> bool:
    """Whether float16 has all of its numbers. Those of bfloat16 are the same there from 2**-17 up, and below off by
    2**-25 at most."""
    least, most = torch.aminmax(weight)
    return bool(least >= -_LARGEST and most <= _LARGEST)


def packed(weight: Tensor) -> Call:
    """weight: shape (out, in), of any type."""
    out, into = weight.shape
    matrix = _pack(weight.float(), None)

    def rows(x: Tensor, bias: Tensor | None) -> Tensor:
        with _plain():  # else each call looks for __torch_function__ in the packed weights, which takes 20 us
            y: Tensor = _by_float16(x, matrix)
        return y if bias is None else y.add_(bias)

    def call(x: Tensor, bias: Tensor | None) -> Tensor:
        if x.dtype == torch.float32 and x.ndim > 1:  # asked first: operators that change nothing take their time, too
            return rows(x, bias)
        return rows(x.float().reshape(-1, into), bias).to(x.dtype).view(*x.shape[:-1], out)

    return call


def converted(weight: Tensor, scale: Tensor, *, exact: bool = False) -> Call:
    """weight: shape (out, in), int8. scale: shape (out,). exact: few rows are not rounded to bfloat16, either."""
    out, into = weight.shape
    scale = scale.to(torch.bfloat16)  # one and the same for few rows and for many
    few = 0 if exact or into % _TAIL else _FEW
    many = _by_slices(weight, scale.float())

    def call(x: Tensor, bias: Tensor | None) -> Tensor:
        rows = x.reshape(-1, into)
        y = many(rows.float()) if len(rows) > few else _by_int8(rows.to(torch.bfloat16), weight, scale)
        return (y if bias is None else y.add_(bias)).to(x.dtype).view(*x.shape[:-1], out)

    return call


def _by_slices(weight: Tensor, scale: Tensor) -> Callable[[Tensor], Tensor]:
    """The whole, converted at once, may be gigabytes."""
    out, into = weight.shape
    step = max(1, _SLICE // into)
    slices = [slice(at, at + step) for at in range(0, out, step)]

    def many(x: Tensor) -> Tensor:
        y = x.new_empty((len(x), out))
        for each in slices:
            torch.mm(x, wide(weight[each], scale[each]).t(), out=y[:, each])
        return y

    return many


def wide(weight: Tensor, scale: Tensor) -> Tensor:
    return weight * scale[:, None]
