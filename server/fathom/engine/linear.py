"""Linear layers of vLLM's models, in the form that engine/decided.py chose for this CPU.

"packed" and "converted" (packing.py) are for CPUs that are slow with 16 and 8 bits, "sgl" (sgl.py) for those that have
instructions for both.
"""

import multiprocessing
from collections.abc import Callable
from functools import cache, partial
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from fathom.engine import sgl
from fathom.engine.decided import Form
from fathom.engine.packing import Call, converted, packable, packed, wide


def take_linear_layers() -> None:
    """In the engine's own processes: vLLM's layers of 16 bits and INT8 become these where its config names a form."""
    if multiprocessing.parent_process() is None:  # the API process
        return
    from vllm.model_executor.kernels import linear as kernels
    from vllm.model_executor.kernels.linear.scaled_mm import cpu
    from vllm.model_executor.layers import utils
    from vllm.platforms.interface import PlatformEnum

    utils.dispatch_cpu_unquantized_gemm = _narrow(utils.dispatch_cpu_unquantized_gemm)
    kernels._POSSIBLE_INT8_KERNELS[PlatformEnum.CPU].insert(0, _int8())
    sgl.take_int8(cpu, lambda: _form() == "sgl")


def _narrow(dispatch: Callable[[Any, bool], None]) -> Callable[[Any, bool], None]:
    """dispatch: gives a layer of 16 bits vLLM's own way to multiply; whether to drop the weights as they were."""

    def own(layer: Any, remove_weight: bool) -> None:
        weight, form = layer.weight.detach(), _form()
        make = sgl.blocked if form == "sgl" else packed
        fits = sgl.fits if form == "sgl" else packable
        if form is None or weight.is_meta or weight.ndim != 2 or not fits(weight):
            dispatch(layer, remove_weight)
            return
        looked_up = type(layer) is VocabParallelEmbedding  # in nearly all models; some multiply with it, as their head
        _give(layer, _when_needed(partial(make, weight)) if looked_up else make(weight), len(weight))
        if remove_weight:
            layer.weight = torch.nn.Parameter(weight.new_empty(0), requires_grad=False)

    from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding

    return own


def _int8() -> Any:
    from vllm.model_executor.kernels.linear.scaled_mm.ScaledMMLinearKernel import Int8ScaledMMLinearKernel

    class Int8Linear(Int8ScaledMMLinearKernel):  # type: ignore[misc]
        """Activations stay as they are, which costs a model less than vLLM's 8 bits do."""

        @classmethod
        def is_supported(cls, compute_capability: int | None = None) -> tuple[bool, str | None]:
            return _form() in ("packed", "converted"), "this CPU multiplies integers of 8 bits"

        @classmethod
        def can_implement(cls, c: Any) -> tuple[bool, str | None]:
            fits = c.is_channelwise and c.input_symmetric and not c.is_static_input_scheme
            return fits, "it takes one scale for each output channel, and activations that were not measured"

        def process_weights_after_loading(self, layer: Any) -> None:
            weight, scale = layer.weight.detach().contiguous(), layer.weight_scale.detach().reshape(-1).float()
            exact = torch.get_default_dtype() == torch.float32  # which vLLM sets to the model's type
            if _form() == "packed" and packable(whole := wide(weight, scale)):
                call = packed(whole)
                layer.weight = torch.nn.Parameter(weight.new_empty(0), requires_grad=False)
            else:
                call = converted(weight, scale, exact=exact)
            _give(layer, call, len(weight))

        def apply_weights(self, layer: Any, x: Tensor, bias: Tensor | None = None) -> Tensor:
            y: Tensor = layer.cpu_linear(x, layer.weight, bias)
            return y

    return Int8Linear


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
