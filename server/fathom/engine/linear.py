"""Linear layers on a CPU that is slow with numbers of 16 and 8 bits (docs/adr/0024).

FBGEMM, which is part of PyTorch, multiplies activations of float32 with packed weights of float16. For a row it reads
half of what float32 would be, and thousands are as fast as with oneDNN in float32. Where memory has no room for twice
the bytes of INT8 weights, a row is multiplied with them as they lie there, and many rows with what they are converted
to, a slice at a time.
"""

import multiprocessing
from collections.abc import Callable
from functools import cache, partial
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from fathom.engine.decided import Form

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
            torch.mm(x, _wide(weight[each], scale[each]).t(), out=y[:, each])
        return y

    return many


def _wide(weight: Tensor, scale: Tensor) -> Tensor:
    return weight * scale[:, None]


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

    def dispatch_packed(layer: Any, remove_weight: bool) -> None:
        weight = layer.weight.detach()
        if _form() is None or weight.is_meta or weight.ndim != 2 or not packable(weight):
            dispatch(layer, remove_weight)
            return
        looked_up = type(layer) is VocabParallelEmbedding  # in nearly all models; some multiply with it, as their head
        _give(layer, _when_needed(partial(packed, weight)) if looked_up else packed(weight), len(weight))
        if remove_weight:
            layer.weight = torch.nn.Parameter(weight.new_empty(0), requires_grad=False)

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
            weight, scale = layer.weight.detach().contiguous(), layer.weight_scale.detach().reshape(-1).float()
            exact = torch.get_default_dtype() == torch.float32  # which vLLM sets to the model's type
            if _form() == "packed" and packable(wide := _wide(weight, scale)):
                call = packed(wide)
                layer.weight = torch.nn.Parameter(weight.new_empty(0), requires_grad=False)
            else:
                call = converted(weight, scale, exact=exact)
            _give(layer, call, len(weight))

        def apply_weights(self, layer: Any, x: Tensor, bias: Tensor | None = None) -> Tensor:
            y: Tensor = layer.cpu_linear(x, layer.weight, bias)
            return y

    utils.dispatch_cpu_unquantized_gemm = dispatch_packed
    kernels._POSSIBLE_INT8_KERNELS[PlatformEnum.CPU].insert(0, Int8Linear)


def _give(layer: Any, call: Call, out: int) -> None:
    """By the name at which vLLM looks for it."""
    call = _opaque(call, out) if _compiles() else call
    layer.cpu_linear = lambda x, _weight, bias: call(x, bias)


def _form() -> Form | None:
    from vllm.config import get_current_vllm_config

    form: Form | None = get_current_vllm_config().additional_config.get("fathom_linear")  # engine/options.py
    return form


def _compiles() -> bool:
    from vllm.config import CompilationMode, get_current_vllm_config

    return bool(get_current_vllm_config().compilation_config.mode != CompilationMode.NONE)


def _when_needed(make: Callable[[], Call]) -> Call:
    once = cache(make)
    return lambda x, bias: once()(x, bias)


_made: WeakValueDictionary[int, Call] = WeakValueDictionary()
"""By number, as long as a layer has it: heads of models that guess ahead are given up for the model's own."""
_numbers = count()


def _opaque(layer: Call, out: int) -> Call:
    """By torch.compile, an operator that it does not look into."""
    at = next(_numbers)
    _made[at] = layer

    def call(x: Tensor, bias: Tensor | None) -> Tensor:
        if torch.compiler.is_compiling():
            unseen: Tensor = torch.ops.fathom.linear(x, bias, at, out)
            return unseen
        return layer(x, bias)

    return call


_library: Any = torch.library.Library  # untyped; costs less a call than torch.library.custom_op
_operators = _library("fathom", "DEF")
_operators.define("linear(Tensor x, Tensor? bias, int at, int out) -> Tensor")
_operators.impl("linear", lambda x, bias, at, out: _made[at](x, bias), "CPU")
torch.library.register_fake(
    "fathom::linear", lambda x, bias, at, out: x.new_empty((*x.shape[:-1], out)), lib=_operators
)
