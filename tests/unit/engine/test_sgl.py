"""SGLang's kernels against float64, on CPUs that have what they take, and vLLM's own choice with and without them."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import vllm._custom_ops  # noqa: F401  brings the kernels, as in the engine
from fathom.engine import machine, sgl
from fathom.engine.decided import SGL
from torch import Tensor

from tests.unit.engine.matrices import INTO, OUT, close, in_int8, random

here = pytest.mark.skipif(not {*SGL} <= machine.cpu_flags(), reason=f"this CPU has not {' and '.join(SGL)}")
ROWS = (1, 4, 5, 33, 300)


@pytest.mark.parametrize(
    ("shape", "dtype", "ours"),
    [
        ((16, 32), torch.bfloat16, True),
        ((16, 32), torch.int8, True),
        ((16, 32), torch.float16, False),
        ((8, 32), torch.bfloat16, False),
        ((24, 32), torch.int8, False),
        ((16, 48), torch.bfloat16, False),
        ((16, 4096), torch.bfloat16, True),
        ((16, 4096 + 32), torch.bfloat16, False),
        ((16, 8192), torch.int8, True),
        ((16, 8192 + 32), torch.int8, False),
    ],
)
def test_matrices_of_whole_blocks_and_short_rows_fit(shape: tuple[int, int], dtype: torch.dtype, ours: bool) -> None:
    assert sgl.fits(torch.empty(shape, dtype=dtype)) is ours


@here
@pytest.mark.parametrize("bias", [False, True])
def test_any_number_of_rows_is_multiplied(bias: bool) -> None:
    weight = random(OUT, INTO).bfloat16()
    added = random(OUT, seed=3).bfloat16() if bias else None
    layer = sgl.blocked(weight)
    for rows in (0, *ROWS):
        x = random(rows, INTO, seed=2).bfloat16()
        y = layer(x, added)
        assert y.dtype == torch.bfloat16
        close(y, x.double() @ weight.double().T + (added.double() if added is not None else 0))


def anywhere() -> list[Tensor]:
    apart = random(4, 2 * INTO, seed=2).bfloat16()[:, :INTO]
    shapes = ((1, 2, 3, INTO), (0, INTO), (3, 0, INTO), (INTO,))
    return [apart, apart.T.contiguous().T, *(random(*shape, seed=2).bfloat16() for shape in shapes)]


@here
def test_rows_may_lie_anywhere_and_in_any_dimensions() -> None:
    weight = random(OUT, INTO).bfloat16()
    layer = sgl.blocked(weight)
    for x in anywhere():
        y = layer(x, None)
        assert y.shape == (*x.shape[:-1], OUT)
        close(y, x.double() @ weight.double().T)


class Int8:
    """As vLLM's kernel is once a layer's weights are loaded."""

    def process_weights_for_sgl(self, layer: Any) -> None:
        layer.prepared = True


def taken(wanted: bool, with_amx: bool = False) -> Any:
    cpu = SimpleNamespace(check_cpu_sgl_kernel=lambda *_: with_amx, CPUInt8ScaledMMLinearKernel=type("K", (Int8,), {}))
    sgl.take_int8(cpu, lambda: wanted)
    return cpu


def test_int8_is_vllms_choice_unless_it_is_wanted() -> None:
    assert taken(wanted=True).check_cpu_sgl_kernel(16, 32, torch.int8)
    assert not taken(wanted=True).check_cpu_sgl_kernel(16, 33, torch.int8)
    assert not taken(wanted=False).check_cpu_sgl_kernel(16, 32, torch.int8)
    assert taken(wanted=False, with_amx=True).check_cpu_sgl_kernel(16, 33, torch.int8)


@here
@pytest.mark.parametrize("bias", [False, True])
def test_int8_layers_are_multiplied_as_vllm_does_it(bias: bool) -> None:
    from vllm.model_executor.kernels.linear.scaled_mm import cpu
    from vllm.model_executor.kernels.linear.scaled_mm.ScaledMMLinearKernel import (
        Int8ScaledMMLinearLayerConfig as Config,
    )

    layer: Any = torch.nn.Module()
    whole, scale = in_int8(random(OUT, INTO))
    layer.weight = torch.nn.Parameter(whole, requires_grad=False)
    layer.weight_scale = torch.nn.Parameter(scale[:, None], requires_grad=False)
    layer.bias = torch.nn.Parameter(random(OUT, seed=3).bfloat16(), requires_grad=False) if bias else None
    layer.logical_widths = [OUT]
    names = ["weight", "weight_scale", "input_scale", "input_zero_point", "azp_adj"]
    for name in names[2:]:
        setattr(layer, name, None)
    kernel = cpu.CPUInt8ScaledMMLinearKernel(Config(False, True, True), names)
    own = SimpleNamespace(check_cpu_sgl_kernel=None, CPUInt8ScaledMMLinearKernel=type("K", (type(kernel),), {}))
    sgl.take_int8(own, lambda: True)
    own.CPUInt8ScaledMMLinearKernel.process_weights_for_sgl(kernel, layer)
    weight = whole.double() * scale.double()[:, None]
    for rows in ROWS:
        x = random(rows, INTO, seed=2).bfloat16()
        y = kernel.apply_weights(layer, x, layer.bias)
        assert torch.equal(y, kernel._apply_weights_sgl(layer, x, layer.bias))
        assert torch.equal(y, layer.cpu_linear(x, None, layer.bias))
        close(y, x.double() @ weight.T + (layer.bias.double() if bias else 0), bits=5)
    for x in anywhere():
        assert kernel.apply_weights(layer, x, layer.bias).shape == (*x.shape[:-1], OUT)
