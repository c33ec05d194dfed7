"""Linear layers on a CPU that is slow with numbers of 16 and 8 bits (docs/adr/0022).

Few rows wait for the memory: they are multiplied with the weights as they lie there, which are a half or a quarter of
what float32 would be. Many rows wait for the multiplication, and such a CPU has a fast one for float32 alone: oneDNN's
on a copy of the weights, where memory has room for one, or PyTorch's on weights that are converted as they come.
"""

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fathom.engine.decided import Form

_FEW = {("copied", 16): 2, ("converted", 16): 12, ("copied", 8): 8, ("converted", 8): 80}
"""The most rows that count as few, by form and bits of a weight: about where times cross (docs/performance.md)."""

_SLICE = 1 << 22  # weights that are converted at a time, of 4 bytes then
_TAIL = 16  # PyTorch's kernel for int8 reads so many weights of a row at a time, and never fewer
_SIXTEEN = (torch.bfloat16, torch.float16)
_by_int8 = torch.ops.aten._weight_int8pack_mm.default
"""Fast for activations in bfloat16, and 4 to 6 times slower for others."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A layer's weights, `many` in float32.

    weight: shape (out, in), of 16 bits or int8. scale: of int8 weights, shape (out,), in bfloat16. few: the most rows
    for which they are taken as they are.
    """

    weight: Tensor
    scale: Tensor | None
    few: int
    many: Callable[[Tensor], Tensor]

    @classmethod
    def make(cls, weight: Tensor, form: Form, scale: Tensor | None = None, *, exact: bool = False) -> "Linear":
        """scale: None for weights of 16 bits. exact: few rows are multiplied in float32, too."""
        few = _FEW[form, 16 if scale is None else 8]
        if exact or (scale is not None and weight.shape[1] % _TAIL):
            few = 0
        rounded = None if scale is None else scale.to(torch.bfloat16)  # one and the same for few rows and for many
        many = _copied(_wide(weight, rounded)) if form == "copied" else _converted(weight, rounded)
        return cls(weight, rounded, few, many)

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """x: shape (..., in). Returns shape (..., out), in the type of x."""
        out, into = self.weight.shape
        rows = x.reshape(-1, into)
        if len(rows) > self.few:
            wide = self.many(rows.float())
            return (wide if bias is None else wide.add_(bias)).to(x.dtype).view(*x.shape[:-1], out)
        if self.scale is None:
            return functional.linear(x, self.weight, bias)
        y: Tensor = _by_int8(rows.to(torch.bfloat16), self.weight, self.scale).to(x.dtype).view(*x.shape[:-1], out)
        return y if bias is None else y + bias


def _wide(weight: Tensor, scale: Tensor | None) -> Tensor:
    return weight.float() if scale is None else weight * scale.float()[:, None]


def _converted(weight: Tensor, scale: Tensor | None) -> Callable[[Tensor], Tensor]:
    """A slice at a time: the whole may be gigabytes."""
    out, into = weight.shape
    step = max(1, _SLICE // into)
    slices = [slice(at, at + step) for at in range(0, out, step)]

    def many(x: Tensor) -> Tensor:
        y = x.new_empty((len(x), out))
        for each in slices:
            torch.mm(x, _wide(weight[each], None if scale is None else scale[each]).t(), out=y[:, each])
        return y

    return many


def _copied(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """weight: float32. oneDNN keeps it in a layout of its own."""
    from vllm import _custom_ops as ops

    handler = ops.create_onednn_mm(weight.t(), 32)
    return lambda x: ops.onednn_mm(handler, x, None)


def take_linear_layers() -> None:
    """In the engine's own processes: vLLM's layers of 16 bits and INT8 become these where its config names a form."""
    if multiprocessing.parent_process() is None:  # the API process
        return
    from vllm.model_executor.kernels import linear as kernels
    from vllm.model_executor.kernels.linear.scaled_mm.ScaledMMLinearKernel import Int8ScaledMMLinearKernel
    from vllm.model_executor.layers import utils
    from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding
    from vllm.platforms.interface import PlatformEnum

    dispatch = utils.dispatch_cpu_unquantized_gemm

    def dispatch_by_rows(layer: Any, remove_weight: bool) -> None:
        form, weight = _form(), layer.weight
        if form is None or weight.is_meta or weight.ndim != 2 or weight.dtype not in _SIXTEEN:
            dispatch(layer, remove_weight)
            return
        linear = partial(Linear.make, weight.detach(), form)
        looked_up = type(layer) is VocabParallelEmbedding  # in nearly all models; some multiply with it, as their head
        call = _when_needed(linear) if looked_up else _opaque(linear())
        layer.cpu_linear = lambda x, _weight, bias: call(x, bias)

    class Int8Linear(Int8ScaledMMLinearKernel):  # type: ignore[misc]
        """Activations stay as they are, which costs a model less than vLLM's 8 bits do."""

        @classmethod
        def is_supported(cls, compute_capability: int | None = None) -> tuple[bool, str | None]:
            return _form() is not None, "this CPU multiplies integers of 8 bits"

        @classmethod
        def can_implement(cls, c: Any) -> tuple[bool, str | None]:
            fits = c.is_channelwise and c.input_symmetric and not c.is_static_input_scheme
            return fits, "it takes one scale for each output channel, and activations that were not measured"

        def process_weights_after_loading(self, layer: Any) -> None:
            form = _form()
            assert form is not None
            weight, scale = layer.weight.detach().contiguous(), layer.weight_scale.detach().reshape(-1)
            exact = torch.get_default_dtype() == torch.float32  # which vLLM sets to the model's type
            self._call = _opaque(Linear.make(weight, form, scale, exact=exact))

        def apply_weights(self, layer: Any, x: Tensor, bias: Tensor | None = None) -> Tensor:
            return self._call(x, bias)

    utils.dispatch_cpu_unquantized_gemm = dispatch_by_rows
    kernels._POSSIBLE_INT8_KERNELS[PlatformEnum.CPU].insert(0, Int8Linear)


def _form() -> Form | None:
    from vllm.config import get_current_vllm_config

    form: Form | None = get_current_vllm_config().additional_config.get("fathom_linear")  # engine/options.py
    return form


def _when_needed(make: Callable[[], Linear]) -> Callable[[Tensor, Tensor | None], Tensor]:
    once = cache(make)
    return lambda x, bias: once()(x, bias)


_made: list[Linear] = []


def _opaque(linear: Linear) -> Callable[[Tensor, Tensor | None], Tensor]:
    """Callable as it is, and by torch.compile as an operator that it does not look into."""
    at, out = len(_made), linear.weight.shape[0]
    _made.append(linear)

    def call(x: Tensor, bias: Tensor | None) -> Tensor:
        if torch.compiler.is_compiling():
            unseen: Tensor = torch.ops.fathom.linear(x, bias, at, out)
            return unseen
        return linear(x, bias)

    return call


_library: Any = torch.library.Library  # untyped; costs less a call than torch.library.custom_op
_operators = _library("fathom", "DEF")
_operators.define("linear(Tensor x, Tensor? bias, int at, int out) -> Tensor")
_operators.impl("linear", lambda x, bias, at, out: _made[at](x, bias), "CPU")
torch.library.register_fake(
    "fathom::linear", lambda x, bias, at, out: x.new_empty((*x.shape[:-1], out)), lib=_operators
)
