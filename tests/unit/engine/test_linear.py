"""Against float64, on whatever CPU this is: each way to multiply, at row counts around where it changes."""

from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from fathom.engine import linear
from fathom.engine.decided import Form
from fathom.engine.linear import Linear
from torch import Tensor
from vllm.platforms.interface import PlatformEnum

OUT, INTO = 96, 64
FORMS = get_args(Form)
KINDS = ("bfloat16", "float16", "int8")


def made(kind: str, form: Form) -> tuple[Linear, Tensor]:
    """A layer, and the weights it stands for in float64."""
    weight = torch.randn(OUT, INTO, generator=torch.Generator().manual_seed(1)) / 8
    if kind != "int8":
        narrow = weight.to(getattr(torch, kind))
        return Linear.make(narrow, form), narrow.double()
    scale = weight.abs().amax(1) / 127
    whole = (weight / scale[:, None]).round().to(torch.int8)
    return Linear.make(whole, form, scale), whole.double() * scale.bfloat16().double()[:, None]


def activations(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2)).to(dtype)


def dtype_of(kind: str) -> torch.dtype:
    return torch.float16 if kind == "float16" else torch.bfloat16


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_few_rows_and_many_are_multiplied_with_the_same_weights(kind: str, form: Form, bias: bool) -> None:
    layer, weight = made(kind, form)
    dtype = dtype_of(kind)
    added = torch.randn(OUT, generator=torch.Generator().manual_seed(3)).to(dtype) if bias else None
    assert layer.few >= 1
    for rows in (0, 1, layer.few, layer.few + 1, 200):
        x = activations(rows, INTO, dtype=dtype)
        y = layer(x, added)
        expected = x.double() @ weight.T + (added.double() if added is not None else 0)
        assert y.dtype == dtype
        torch.testing.assert_close(y.double(), expected, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_before_the_last_dimension_are_rows(kind: str, form: Form) -> None:
    layer, weight = made(kind, form)
    for shape in ((1, 1, INTO), (3, 50, INTO), (INTO,)):
        x = activations(*shape, dtype=dtype_of(kind))
        assert layer(x, None).shape == (*shape[:-1], OUT)
        torch.testing.assert_close(layer(x, None).double(), x.double() @ weight.T, rtol=2e-2, atol=2e-2)


def test_a_strided_input_is_read_as_it_lies() -> None:
    layer, weight = made("int8", "copied")
    x = activations(4, 2 * INTO)[:, :INTO]
    torch.testing.assert_close(layer(x, None).double(), x.double() @ weight.T, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("form", FORMS)
def test_int8_takes_activations_of_any_type(form: Form) -> None:
    layer, weight = made("int8", form)
    exact = Linear.make(layer.weight, form, layer.scale, exact=True)
    x = activations(1, INTO, dtype=torch.float32)
    torch.testing.assert_close(exact(x, None).double(), x.double() @ weight.T, rtol=1e-5, atol=1e-5)
    half = x.to(torch.float16)
    torch.testing.assert_close(layer(half, None).double(), half.double() @ weight.T, rtol=2e-2, atol=2e-2)
    assert layer(half, None).dtype == torch.float16


@pytest.mark.parametrize("form", FORMS)
def test_int8_rows_that_the_kernel_would_cut_short_are_multiplied_in_float32(form: Form) -> None:
    weight = torch.randint(-127, 127, (OUT, 24), generator=torch.Generator().manual_seed(4)).to(torch.int8)
    layer = Linear.make(weight, form, torch.ones(OUT) / 64)
    x = activations(1, 24)
    torch.testing.assert_close(layer(x, None).double(), x.double() @ weight.double().T / 64, rtol=2e-2, atol=2e-2)


def test_what_is_converted_is_converted_by_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_SLICE", 7 * INTO)
    for kind in KINDS:
        layer, weight = made(kind, "converted")
        x = activations(100, INTO, dtype=dtype_of(kind))
        torch.testing.assert_close(layer(x, None).double(), x.double() @ weight.T, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("form", FORMS)
def test_a_compiler_does_not_look_inside(form: Form) -> None:
    layer, _ = made("bfloat16", form)
    call = linear._opaque(layer)

    @torch.compile(backend="eager", fullgraph=True, dynamic=True)
    def doubled(x: Tensor) -> Tensor:
        return call(x, None) * 2

    for rows in (1, layer.few + 1, 40):
        x = activations(rows, INTO)
        torch.testing.assert_close(doubled(x), layer(x, None) * 2)


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """vLLM's dispatch, as it is in an engine whose config says "copied". Yields what falls through to vLLM's own."""
    from vllm.model_executor.kernels import linear as kernels
    from vllm.model_executor.layers import utils

    fallen: list[Any] = []
    monkeypatch.setattr(utils, "dispatch_cpu_unquantized_gemm", lambda layer, remove_weight: fallen.append(layer))
    monkeypatch.setattr(kernels, "_POSSIBLE_INT8_KERNELS", {PlatformEnum.CPU: []})
    monkeypatch.setattr(linear.multiprocessing, "parent_process", object)
    linear.take_linear_layers()
    monkeypatch.setattr(linear, "_form", lambda: "copied")
    return fallen


def layer_of(weight: Tensor, kind: type = torch.nn.Module) -> Any:
    layer = kind.__new__(kind)
    torch.nn.Module.__init__(layer)
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    return layer


def test_vllm_gives_its_narrow_matrices_and_keeps_the_rest(hooked: list[Any]) -> None:
    from vllm.model_executor.layers import utils

    ours = layer_of(torch.randn(OUT, INTO).bfloat16())
    others = [torch.randn(OUT, INTO), torch.randn(2, OUT, INTO).bfloat16(), torch.empty(OUT, INTO, device="meta")]
    layers = [layer_of(weight) for weight in others]
    for layer in (ours, *layers):
        utils.dispatch_cpu_unquantized_gemm(layer, True)
    assert hooked == layers
    x = activations(40, INTO)
    expected = x.double() @ ours.weight.double().T
    torch.testing.assert_close(ours.cpu_linear(x, ours.weight, None).double(), expected, rtol=2e-2, atol=2e-2)


def test_a_table_that_is_looked_up_has_no_copy_until_it_is_multiplied(
    hooked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vllm.model_executor.layers import utils
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, VocabParallelEmbedding

    made: list[Tensor] = []
    copied = linear._copied
    monkeypatch.setattr(linear, "_copied", lambda weight: (made.append(weight), copied(weight))[1])
    table, head = (
        layer_of(torch.randn(OUT, INTO).bfloat16(), kind) for kind in (VocabParallelEmbedding, ParallelLMHead)
    )
    utils.dispatch_cpu_unquantized_gemm(head, False)
    assert len(made) == 1
    utils.dispatch_cpu_unquantized_gemm(table, False)
    assert len(made) == 1
    for _ in range(2):
        table.cpu_linear(activations(40, INTO), table.weight, None)
    assert len(made) == 2


def test_int8_layers_are_ours_where_they_have_a_scale_for_each_channel(hooked: list[Any]) -> None:
    from vllm.model_executor.kernels import linear as kernels
    from vllm.model_executor.kernels.linear.scaled_mm.ScaledMMLinearKernel import (
        Int8ScaledMMLinearLayerConfig as Config,
    )

    (kernel,) = kernels._POSSIBLE_INT8_KERNELS[PlatformEnum.CPU]
    config = Config(is_static_input_scheme=False, is_channelwise=True, input_symmetric=True)
    assert kernel.is_supported()[0]
    assert kernel.can_implement(config)[0]
    for name, value in (("is_static_input_scheme", True), ("is_channelwise", False), ("input_symmetric", False)):
        assert not kernel.can_implement(replace(config, **{name: value}))[0]
    made_here, weight = made("int8", "copied")
    layer = layer_of(made_here.weight)
    layer.weight_scale = made_here.scale.float()[:, None]
    bound = kernel(config, ["weight", "weight_scale", "input_scale", "input_zero_point", "azp_adj"])
    bound.process_weights_after_loading(layer)
    for rows in (1, 40):
        x = activations(rows, INTO, dtype=torch.float32)
        torch.testing.assert_close(bound.apply_weights(layer, x).double(), x.double() @ weight.T, rtol=1e-5, atol=1e-5)


def test_the_api_process_keeps_vllms_layers() -> None:
    from vllm.model_executor.layers import utils

    before = utils.dispatch_cpu_unquantized_gemm
    linear.take_linear_layers()
    assert utils.dispatch_cpu_unquantized_gemm is before
