"""Which of vLLM's layers become ours, by what its config names."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from fathom.engine import linear
from fathom.engine.packing import Call, converted, packed
from torch import Tensor
from vllm.platforms.interface import PlatformEnum

from tests.unit.engine.matrices import INTO, OUT, close, in_int8, random


@pytest.mark.parametrize("layer", [packed(random(OUT, INTO)), converted(*in_int8(random(OUT, INTO)))])
def test_a_compiler_does_not_look_inside(layer: Call) -> None:
    call = linear._opaque(layer, OUT)

    @torch.compile(backend="eager", fullgraph=True, dynamic=True)
    def doubled(x: Tensor) -> Tensor:
        return call(x, None) * 2

    for rows in (1, 40, 100):
        x = random(rows, INTO, seed=2).bfloat16()
        torch.testing.assert_close(doubled(x), layer(x, None) * 2)


def test_a_layer_that_is_given_up_takes_its_weights_along() -> None:
    before = len(linear._made)
    call = linear._opaque(packed(random(OUT, INTO)), OUT)
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
    monkeypatch.setattr(linear.sgl, "take_int8", lambda *_: None)
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


def test_blocks_are_made_where_they_fit(hooked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm.model_executor.kernels import linear as kernels
    from vllm.model_executor.layers import utils

    monkeypatch.setattr(linear, "_form", lambda: "sgl")
    monkeypatch.setattr(linear.sgl, "blocked", lambda weight: lambda x, bias: x @ weight.T)
    ours, other = layer_of(random(OUT, INTO).bfloat16()), layer_of(random(OUT, INTO - 1).bfloat16())
    for layer in (ours, other):
        utils.dispatch_cpu_unquantized_gemm(layer, remove_weight=True)
    assert hooked == [other]
    assert ours.weight.numel() == 0
    assert ours.cpu_linear(random(3, INTO).bfloat16(), ours.weight, None).shape == (3, OUT)
    (kernel,) = kernels._POSSIBLE_INT8_KERNELS[PlatformEnum.CPU]
    assert not kernel.is_supported()[0]


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
