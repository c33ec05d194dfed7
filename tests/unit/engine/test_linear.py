"""Against float64, on whatever CPU this is: each way to multiply, at row counts around where it changes."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from fathom.engine import linear
from fathom.engine.linear import Call, converted, packed
from torch import Tensor
from vllm.platforms.interface import PlatformEnum

OUT, INTO = 96, 64
NARROW = (torch.bfloat16, torch.float16)


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) / 8


def in_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    scale = weight.abs().amax(1) / 127
    return (weight / scale[:, None]).round().to(torch.int8), scale


def made(form: str, dtype: torch.dtype = torch.bfloat16) -> tuple[Call, Tensor]:
    """A layer, and the weights it stands for in float64."""
    weight = random(OUT, INTO)
    if form == "packed":
        narrow = weight.to(dtype)
        return packed(narrow), narrow.double()
    whole, scale = in_int8(weight)
    return converted(whole, scale), whole.double() * scale.bfloat16().double()[:, None]


def close(y: Tensor, expected: Tensor, bits: int = 6) -> None:
    torch.testing.assert_close(y.double(), expected, rtol=2**-bits, atol=2**-bits)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [*NARROW, torch.float32])
@pytest.mark.parametrize("form", ["packed", "converted"])
def test_any_number_of_rows_is_multiplied_with_the_same_weights(form: str, dtype: torch.dtype, bias: bool) -> None:
    layer, weight = made(form)
    added = random(OUT, seed=3).to(dtype) if bias else None
    for rows in (0, 1, 7, linear._FEW, linear._FEW + 1, 300):
        x = random(rows, INTO, seed=2).to(dtype)
        y = layer(x, added)
        assert y.dtype == dtype
        close(y, x.double() @ weight.T + (added.double() if added is not None else 0))


@pytest.mark.parametrize("dtype", NARROW)
def test_packed_weights_are_those_of_the_model(dtype: torch.dtype) -> None:
    layer, weight = made("packed", dtype)
    x = random(3, INTO, seed=2)
    close(layer(x, None), x.double() @ weight.T, bits=20)


def test_weights_that_float16_has_not_are_not_packed() -> None:
    weight = random(OUT, INTO).bfloat16()
    assert linear.packable(weight)
    for value in (7e4, -7e4, float("nan"), float("inf")):
        outlier = weight.clone()
        outlier[1, 2] = value
        assert not linear.packable(outlier)


def test_small_weights_are_as_near_as_they_are_said_to_be() -> None:
    weight = torch.tensor([1.0, -1.0]).repeat(OUT, INTO // 2) * torch.logspace(-30, -10, OUT, base=2)[:, None]
    narrow = weight.bfloat16()
    seen = packed(narrow)(torch.eye(INTO), None).T
    assert (seen - narrow.float()).abs().max() <= 2**-25
    exact = narrow.abs().amin(1) >= 2**-17
    assert torch.equal(seen[exact], narrow.float()[exact])


@pytest.mark.parametrize("form", ["packed", "converted"])
def test_what_lies_before_the_last_dimension_are_rows(form: str) -> None:
    layer, weight = made(form)
    for shape in ((1, 1, INTO), (3, 50, INTO), (INTO,)):
        x = random(*shape, seed=2).bfloat16()
        assert layer(x, None).shape == (*shape[:-1], OUT)
        close(layer(x, None), x.double() @ weight.T)


@pytest.mark.parametrize("form", ["packed", "converted"])
def test_a_strided_input_is_read_as_it_lies(form: str) -> None:
    layer, weight = made(form)
    for dtype in (torch.bfloat16, torch.float32):
        x = random(4, 2 * INTO, seed=2).to(dtype)[:, :INTO]
        close(layer(x, None), x.double() @ weight.T)


def test_an_input_is_left_as_it_is() -> None:
    for form in ("packed", "converted"):
        layer, _ = made(form)
        x, bias = random(2, INTO, seed=2), random(OUT, seed=3)
        before = x.clone(), bias.clone()
        layer(x, bias)
        assert torch.equal(x, before[0])
        assert torch.equal(bias, before[1])


def test_int8_can_be_exact() -> None:
    whole, scale = in_int8(random(OUT, INTO))
    x = random(1, INTO, seed=2)
    expected = x.double() @ (whole.double() * scale.bfloat16().double()[:, None]).T
    close(converted(whole, scale, exact=True)(x, None), expected, bits=17)


def test_int8_rows_that_the_kernel_would_cut_short_are_multiplied_in_float32() -> None:
    weight = torch.randint(-127, 127, (OUT, 24), generator=torch.Generator().manual_seed(4)).to(torch.int8)
    layer = converted(weight, torch.ones(OUT) / 64)
    x = random(1, 24, seed=2).bfloat16()
    close(layer(x, None), x.double() @ weight.double().T / 64)


def test_what_is_converted_is_converted_by_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_SLICE", 7 * INTO)
    layer, weight = made("converted")
    x = random(100, INTO, seed=2)
    close(layer(x, None), x.double() @ weight.T)


@pytest.mark.parametrize("form", ["packed", "converted"])
def test_a_compiler_does_not_look_inside(form: str) -> None:
    layer, _ = made(form)
    call = linear._opaque(layer, OUT)

    @torch.compile(backend="eager", fullgraph=True, dynamic=True)
    def doubled(x: Tensor) -> Tensor:
        return call(x, None) * 2

    for rows in (1, 40, linear._FEW + 1):
        x = random(rows, INTO, seed=2).bfloat16()
        torch.testing.assert_close(doubled(x), layer(x, None) * 2)


def test_a_layer_that_is_given_up_takes_its_weights_along() -> None:
    before = len(linear._made)
    call = linear._opaque(made("packed")[0], OUT)
    assert len(linear._made) == before + 1
    del call
    assert len(linear._made) == before


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """vLLM's dispatch, as it is in an engine whose config says "packed". Yields what falls through to vLLM's own."""
    from vllm.model_executor.kernels import linear as kernels
    from vllm.model_executor.layers import utils

    fallen: list[Any] = []
    monkeypatch.setattr(utils, "dispatch_cpu_unquantized_gemm", lambda layer, remove_weight: fallen.append(layer))
    monkeypatch.setattr(kernels, "_POSSIBLE_INT8_KERNELS", {PlatformEnum.CPU: []})
    monkeypatch.setattr(linear.multiprocessing, "parent_process", object)
    linear.take_linear_layers()
    monkeypatch.setattr(linear, "_form", lambda: "packed")
    monkeypatch.setattr(linear, "_compiles", lambda: False)
    return fallen


def layer_of(weight: Tensor, kind: type = torch.nn.Module) -> Any:
    layer = kind.__new__(kind)
    torch.nn.Module.__init__(layer)
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    return layer


def test_vllm_gives_its_matrices_and_keeps_the_rest(hooked: list[Any]) -> None:
    from vllm.model_executor.layers import utils

    weight = random(OUT, INTO).bfloat16()
    ours, kept = layer_of(weight), layer_of(weight)
    others = [random(OUT, INTO).bfloat16() * 1e6, random(2, OUT, INTO), torch.empty(OUT, INTO, device="meta")]
    layers = [layer_of(each) for each in others]
    for layer in (ours, *layers):
        utils.dispatch_cpu_unquantized_gemm(layer, remove_weight=True)
    utils.dispatch_cpu_unquantized_gemm(kept, remove_weight=False)
    assert hooked == layers
    assert (ours.weight.numel(), ours.weight.dtype) == (0, torch.bfloat16)  # packed, it is not needed any more
    assert torch.equal(kept.weight, weight)
    x = random(40, INTO, seed=2).bfloat16()
    for layer in (ours, kept):
        close(layer.cpu_linear(x, layer.weight, None), x.double() @ weight.double().T)


@pytest.mark.parametrize("compiles", [False, True])
def test_an_operator_stands_in_front_of_layers_where_something_is_compiled(
    hooked: list[Any], compiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vllm.model_executor.layers import utils

    monkeypatch.setattr(linear, "_compiles", lambda: compiles)
    before = len(linear._made)
    layer = layer_of(random(OUT, INTO))
    utils.dispatch_cpu_unquantized_gemm(layer, remove_weight=True)
    assert len(linear._made) - before == compiles


def test_a_table_that_is_looked_up_is_not_packed_until_it_is_multiplied(
    hooked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vllm.model_executor.layers import utils
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, VocabParallelEmbedding

    made: list[Tensor] = []
    monkeypatch.setattr(linear, "packed", lambda weight: (made.append(weight), packed(weight))[1])
    table, head = (layer_of(random(OUT, INTO).bfloat16(), kind) for kind in (VocabParallelEmbedding, ParallelLMHead))
    utils.dispatch_cpu_unquantized_gemm(head, remove_weight=False)
    assert len(made) == 1
    utils.dispatch_cpu_unquantized_gemm(table, remove_weight=False)
    assert len(made) == 1
    for _ in range(2):
        table.cpu_linear(random(40, INTO), table.weight, None)
    assert len(made) == 2


@pytest.mark.parametrize("form", ["packed", "converted"])
def test_int8_layers_are_ours_where_they_have_a_scale_for_each_channel(
    hooked: list[Any], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vllm.model_executor.kernels import linear as kernels
    from vllm.model_executor.kernels.linear.scaled_mm.ScaledMMLinearKernel import (
        Int8ScaledMMLinearLayerConfig as Config,
    )

    monkeypatch.setattr(linear, "_form", lambda: form)
    (kernel,) = kernels._POSSIBLE_INT8_KERNELS[PlatformEnum.CPU]
    config = Config(is_static_input_scheme=False, is_channelwise=True, input_symmetric=True)
    assert kernel.is_supported()[0]
    assert kernel.can_implement(config)[0]
    for name, value in (("is_static_input_scheme", True), ("is_channelwise", False), ("input_symmetric", False)):
        assert not kernel.can_implement(replace(config, **{name: value}))[0]
    whole, scale = in_int8(random(OUT, INTO))
    layer = layer_of(whole)
    layer.weight_scale = scale[:, None]
    bound = kernel(config, ["weight", "weight_scale", "input_scale", "input_zero_point", "azp_adj"])
    bound.process_weights_after_loading(layer)
    assert (layer.weight.numel() == 0) == (form == "packed")
    weight = whole.double() * scale.double()[:, None]
    for rows in (1, 40, 100):
        x = random(rows, INTO, seed=2)
        close(bound.apply_weights(layer, x), x.double() @ weight.T, bits=10 if form == "packed" else 7)


def test_int8_that_float16_has_not_is_not_packed(hooked: list[Any]) -> None:
    from vllm.model_executor.kernels import linear as kernels

    (kernel,) = kernels._POSSIBLE_INT8_KERNELS[PlatformEnum.CPU]
    layer = layer_of(torch.full((OUT, INTO), 100, dtype=torch.int8))
    layer.weight_scale = torch.full((OUT, 1), 1e4)
    bound = object.__new__(kernel)
    bound.process_weights_after_loading(layer)
    x = random(3, INTO, seed=2)
    expected = x.double() @ torch.full((OUT, INTO), 1e6).double().T
    torch.testing.assert_close(bound.apply_weights(layer, x).double(), expected, rtol=2e-2, atol=2e4)


def test_the_api_process_keeps_vllms_layers() -> None:
    from vllm.model_executor.layers import utils

    before = utils.dispatch_cpu_unquantized_gemm
    linear.take_linear_layers()
    assert utils.dispatch_cpu_unquantized_gemm is before
