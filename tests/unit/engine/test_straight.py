"""Each layer straight to its kernel against the same layer as vLLM calls it."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fathom.engine import norms, straight
from fathom.engine.straight import go_straight
from torch import Tensor
from torch.nn import Module
from vllm import _custom_ops as ops
from vllm.config import CompilationConfig, CompilationMode, VllmConfig, set_current_vllm_config
from vllm.forward_context import override_forward_context
from vllm.model_executor import parameter
from vllm.model_executor.layers.activation import SiluAndMul
from vllm.model_executor.layers.attention.attention import Attention
from vllm.model_executor.layers.layernorm import GemmaRMSNorm, RMSNorm
from vllm.model_executor.layers.linear import ColumnParallelLinear, ReplicatedLinear, RowParallelLinear
from vllm.model_executor.layers.rotary_embedding import get_rope
from vllm.v1.attention.backends.cpu_attn import CPUAttentionMetadata

HIDDEN, HEADS, KV_HEADS, SIZE, BLOCK = 64, 4, 2, 32, 32


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Iterator[VllmConfig]:
    """Of one worker that compiles nothing, and computes in float32. vLLM's classes are as before behind the test."""
    norms.offer_norms()
    skip = straight._skip_hooks
    monkeypatch.setattr(
        straight, "_skip_hooks", lambda kind: (monkeypatch.setattr(kind, "__call__", kind.__call__), skip(kind))
    )
    monkeypatch.setattr(parameter, "get_tensor_model_parallel_rank", lambda: 0)
    monkeypatch.setattr(parameter, "get_tensor_model_parallel_world_size", lambda: 1)
    made = VllmConfig(compilation_config=CompilationConfig(mode=CompilationMode.NONE))
    made.model_config = SimpleNamespace(dtype=torch.float32, is_mm_prefix_lm=False, rswa_window=None)
    for name, order in norms.PRIORITY.items():
        setattr(made.kernel_config.ir_op_priority, name, order)
    with set_current_vllm_config(made), made.kernel_config.ir_op_priority.set_priority():
        yield made


def straightened(layer: Module, config: VllmConfig) -> Module:
    go_straight(layer, config)
    return layer


def both(layer: Module, config: VllmConfig, *inputs: Tensor | None) -> tuple[Any, Any]:
    """What it returns as vLLM calls it, and straight; kernels write into what they are given."""
    copies = [[each if each is None else each.clone() for each in inputs] for _ in range(2)]
    return layer(*copies[0]), straightened(layer, config)(*copies[1])


def alike(results: tuple[Any, Any]) -> None:
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", [ReplicatedLinear, ColumnParallelLinear, RowParallelLinear])
def test_a_linear_layer(kind: type[Any], bias: bool, config: VllmConfig) -> None:
    layer = kind(HIDDEN, 96, bias=bias, disable_tp=True)
    layer.weight.data = random(96, HIDDEN)
    if bias:
        layer.bias.data = random(96)
    layer.quant_method.process_weights_after_loading(layer)
    alike(both(layer, config, random(3, HIDDEN)))
    assert ("forward" in layer.__dict__, kind.__call__) == (True, straight._call)


def test_a_linear_layer_that_returns_something_else_stays_vllms(config: VllmConfig) -> None:
    for other in ({"return_bias": False}, {"skip_bias_add": True}):
        layer = ColumnParallelLinear(HIDDEN, 96, disable_tp=True, **other)
        layer.weight.data, layer.bias.data = random(96, HIDDEN), random(96)
        layer.quant_method.process_weights_after_loading(layer)
        alike(both(layer, config, random(3, HIDDEN)))
        assert "forward" not in layer.__dict__


def test_a_linear_layer_whose_inputs_are_transformed_stays_vllms(config: VllmConfig) -> None:
    """As those of compressed-tensors' transforms, which are modules in it."""
    layer = ColumnParallelLinear(HIDDEN, 96, bias=False, disable_tp=True)
    layer.weight.data = random(96, HIDDEN)
    layer.quant_method.process_weights_after_loading(layer)
    layer.input_transform = Module()
    assert "forward" not in straightened(layer, config).__dict__


@pytest.mark.parametrize("shape", [(1, HIDDEN), (5, HIDDEN), (2, 5, HIDDEN)])
def test_an_activation_leaves_its_input_as_it_is(shape: tuple[int, ...], config: VllmConfig) -> None:
    x = random(*shape)
    before = x.clone()
    alike(both(SiluAndMul(), config, x))
    straightened(SiluAndMul(), config)(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("residual", [None, random(3, HIDDEN, seed=2)])
@pytest.mark.parametrize("kind", [RMSNorm, GemmaRMSNorm])
def test_a_norm(kind: type[Any], residual: Tensor | None, config: VllmConfig) -> None:
    layer = kind(HIDDEN)
    layer.weight.data = random(HIDDEN, seed=3)
    alike(both(layer, config, random(3, HIDDEN), residual))


def test_a_norm_of_rows_that_the_kernel_does_not_know_is_vllms(config: VllmConfig) -> None:
    theirs, ours = RMSNorm(HIDDEN), straightened(RMSNorm(HIDDEN), config)
    strided = [random(3, 2 * HIDDEN)[:, :HIDDEN] for _ in range(4)]
    alike((theirs(*strided[:2]), ours(*strided[2:])))
    alike((theirs(random(3, HIDDEN).bfloat16()), ours(random(3, HIDDEN).bfloat16())))


@pytest.mark.parametrize("name", norms.PRIORITY)
def test_where_norms_are_not_ours_they_stay_vllms(name: str, config: VllmConfig) -> None:
    setattr(config.kernel_config.ir_op_priority, name, ["native"])
    assert (layer := straightened(RMSNorm(HIDDEN), config)).forward == layer._forward_method


def test_rotary_embeddings(config: VllmConfig) -> None:
    layer = get_rope(SIZE, 128, rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
    alike(both(layer, config, torch.arange(3), random(3, HEADS * SIZE), random(3, KV_HEADS * SIZE, seed=2)))


def attention(config: VllmConfig, name: str = "model.layers.0.attn", **options: Any) -> Any:
    layer = Attention(HEADS, SIZE, SIZE**-0.5, num_kv_heads=KV_HEADS, prefix=name, **options)
    layer.process_weights_after_loading(torch.float32)
    layer.isa = "vec"
    layer.kv_cache = torch.zeros(4, KV_HEADS, BLOCK, 2 * SIZE)
    return layer


def step(layers: list[Any], tokens: int, before: int, padding: int = 0) -> Any:
    """One sequence, of which so many tokens come behind those that are known; and places that stay empty."""
    lengths, starts = torch.tensor([before + tokens]).int(), torch.tensor([0, tokens]).int()
    plan = ops.cpu_attn_get_scheduler_metadata(
        num_reqs=1,
        num_heads=HEADS,
        num_kv_heads=KV_HEADS,
        head_dim=SIZE,
        seq_lens=lengths,
        dtype=torch.float32,
        query_start_loc=starts,
        causal=True,
        sliding_window_size=-1,
        isa="vec",
        enable_kv_split=False,
    )
    slots = torch.cat([torch.arange(BLOCK + before, BLOCK + before + tokens), torch.full((padding,), -1)])
    one = CPUAttentionMetadata(
        num_actual_tokens=tokens,
        max_query_len=tokens,
        query_start_loc=starts,
        max_seq_len=before + tokens,
        seq_lens=lengths,
        block_table=torch.tensor([[1, 2]]).int(),
        slot_mapping=slots,
        scheduler_metadata=plan,
        causal=True,
    )
    names = [layer.layer_name for layer in layers]
    return override_forward_context(
        SimpleNamespace(
            attn_metadata=dict.fromkeys(names, one),
            slot_mapping=dict.fromkeys(names, slots),
            no_compile_layers={layer.layer_name: layer for layer in layers},
        )
    )


def test_attention_reads_prompts_and_goes_on_with_each_token(config: VllmConfig) -> None:
    theirs, ours = attention(config), straightened(attention(config, "model.layers.1.attn"), config)
    assert "forward" in ours.__dict__
    known = 0
    for tokens in (5, 1, 1, 30):  # the last ones fill a second block
        qkv = random(tokens, (HEADS + 2 * KV_HEADS) * SIZE, seed=tokens)
        parts = qkv.split([HEADS * SIZE, KV_HEADS * SIZE, KV_HEADS * SIZE], -1)
        with step([theirs, ours], tokens, known):
            alike((theirs(*parts), ours(*parts)))
        alike((theirs.kv_cache, ours.kv_cache))
        known += tokens
    assert ours.kv_cache.count_nonzero()


def test_attention_follows_a_cache_that_is_changed(config: VllmConfig) -> None:
    layer = straightened(attention(config), config)
    parts = [random(5, heads * SIZE, seed=heads) for heads in (HEADS, KV_HEADS, KV_HEADS)]
    first = layer.kv_cache
    for _ in range(2):
        with step([layer], 5, 0):
            layer(*parts)
        alike((layer.kv_cache, first))
        layer.kv_cache = torch.zeros_like(first)


def test_attention_over_what_the_cache_has(config: VllmConfig) -> None:
    """As IQuestLoopCoder's later rounds attend: without keys and values of their own."""
    theirs, ours = attention(config), straightened(attention(config, "model.layers.1.attn"), config)
    query, key, value = (random(5, heads * SIZE, seed=heads) for heads in (HEADS, KV_HEADS, KV_HEADS))
    with step([theirs, ours], 5, 0):
        for layer in (theirs, ours):
            layer(query, key, value)
        alike((theirs(query, None, None), ours(query, None, None)))
    alike((theirs.kv_cache, ours.kv_cache))


def test_tokens_that_only_fill_a_batch_attend_to_nothing(config: VllmConfig) -> None:
    layer = straightened(attention(config), config)
    parts = [random(5, heads * SIZE, seed=heads) for heads in (HEADS, KV_HEADS, KV_HEADS)]
    with step([layer], 5, 0):
        whole = layer(*parts)
    with step([layer], 3, 0, padding=2):
        alike((layer(*parts)[:3], whole[:3]))


def test_without_metadata_attention_is_vllms(config: VllmConfig) -> None:
    """As in the run by which vLLM finds out how much memory a batch takes."""
    layer = straightened(attention(config), config)
    parts = [random(5, heads * SIZE, seed=heads) for heads in (HEADS, KV_HEADS, KV_HEADS)]
    nothing = SimpleNamespace(attn_metadata=None, slot_mapping={}, no_compile_layers={layer.layer_name: layer})
    with override_forward_context(nothing):
        assert layer(*parts).shape == (5, HEADS * SIZE)
    assert not layer.kv_cache.count_nonzero()


def test_what_is_sent_to_another_engine_is_sent_by_vllm(config: VllmConfig) -> None:
    layer = attention(config)
    config.kv_transfer_config = SimpleNamespace()
    assert "forward" not in straightened(layer, config).__dict__


def test_nothing_is_changed_where_torch_compile_does_the_same(config: VllmConfig) -> None:
    config.compilation_config.mode = CompilationMode.VLLM_COMPILE
    assert "forward" not in straightened(RMSNorm(HIDDEN), config).__dict__


def test_a_layer_that_takes_the_place_of_another_is_found(config: VllmConfig) -> None:
    """As adapters take the place of linear layers."""
    parent = Module()
    parent.norm = RMSNorm(HIDDEN)
    go_straight(parent, config)
    assert Module.__call__ is not straight._call
    parent.norm = other = RMSNorm(HIDDEN)
    assert parent.norm is other
    assert list(parent.children()) == [other]
