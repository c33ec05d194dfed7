"""Layers that go straight to their kernels, on a CPU that compiles nothing (docs/adr/0026).

vLLM writes layers for torch.compile, which takes away what lies around kernels: frames, operators that are there to be
traced, views. Run as it is written, it is a quarter of a step of one sequence. What a layer is called with, and what it
returns, stays the same; what is out of the ordinary goes vLLM's way.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import silu
from vllm.config import CompilationMode, VllmConfig
from vllm.forward_context import get_forward_context
from vllm.model_executor.custom_op import CustomOp
from vllm.model_executor.layers.activation import SiluAndMul
from vllm.model_executor.layers.attention.attention import Attention
from vllm.model_executor.layers.layernorm import RMSNorm
from vllm.model_executor.layers.linear import ColumnParallelLinear, LinearBase, ReplicatedLinear, RowParallelLinear
from vllm.v1.attention.backend import AttentionType
from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackendImpl

from fathom.engine import norms

Forward = Callable[..., Any]

_LINEAR = (ReplicatedLinear.forward, ColumnParallelLinear.forward, RowParallelLinear.forward)
_KERNEL_TYPES = (torch.bfloat16, torch.float32)  # of attention sinks


def go_straight(model: Module, config: VllmConfig) -> None:
    """After its weights were loaded, and by one worker: nothing is sent between workers here."""
    if config.compilation_config.mode != CompilationMode.NONE:
        return
    make: dict[type[Module], Callable[[Any], Forward | None]] = {
        CustomOp: _of_this_machine,
        LinearBase: _linear,
        SiluAndMul: _silu_and_mul,
    }
    order = config.kernel_config.ir_op_priority
    if all(getattr(order, name)[:1] == ours for name, ours in norms.PRIORITY.items()):
        make[RMSNorm] = _norm
    if config.kv_transfer_config is None:
        make[Attention] = _attention
    for module in model.modules():
        _skip_hooks(type(module))
        module.__dict__.update(module._modules)  # found without a look by PyTorch's __getattr__; setting one ends it
        for kind, of in make.items():
            if isinstance(module, kind) and (forward := of(module)):
                module.forward = forward


def _skip_hooks(kind: Any) -> None:
    """vLLM hooks its layers to profile GPUs, and for nothing else."""
    if kind.__call__ is Module.__call__ and kind.__module__.startswith("vllm."):
        kind.__call__ = _call


def _call(self: Module, *args: Any, **kwargs: Any) -> Any:
    return self.forward(*args, **kwargs)


def _of_this_machine(layer: Any) -> Forward | None:
    """The one that vLLM chose, without its frame around it."""
    return layer._forward_method if type(layer).forward is CustomOp.forward else None


def _linear(layer: Any) -> Forward | None:
    multiply = getattr(layer, "cpu_linear", None)  # vLLM's for 16 bits, or of engine/linear.py
    usual = type(layer).forward in _LINEAR and layer.tp_size == 1 and layer.return_bias and not layer.skip_bias_add
    if multiply is None or not usual or layer._modules:  # which transform what goes in and comes out
        return None
    weight, bias = layer.weight, layer.bias
    return lambda x: (multiply(x, weight, bias), None)


def _silu_and_mul(layer: SiluAndMul) -> Forward | None:
    if type(layer).forward_cpu is not SiluAndMul.forward_cpu:
        return None

    def forward(x: Tensor) -> Tensor:
        gate, up = x.chunk(2, -1)
        return silu(gate).mul_(up)

    return forward


def _norm(layer: Any) -> Forward | None:
    if type(layer) is not RMSNorm or not (layer.pass_weight and layer.pass_weight_add) or layer.variance_size_override:
        return None
    weight, epsilon, whole = layer.weight.data, layer.variance_epsilon, layer.forward

    def forward(x: Tensor, residual: Tensor | None = None) -> Any:
        if residual is None:
            return norms.rms_norm(x, weight, epsilon) if norms.alike(x, weight, epsilon) else whole(x)
        if norms.both_alike(x, residual, weight, epsilon):
            return norms.fused_add_rms_norm(x, residual, weight, epsilon)
        return whole(x, residual)

    return forward


def _attention(layer: Any) -> Forward | None:
    known = type(layer) is Attention and type(layer.impl) is CPUAttentionBackendImpl
    usual = known and layer.attn_type == AttentionType.DECODER and layer.kv_sharing_target_layer_name is None
    sinks = layer.impl.sinks if known else None
    if not usual or layer.query_quant is not None or (sinks is not None and sinks.dtype not in _KERNEL_TYPES):
        return None
    return _Attention(layer)


class _Attention:
    """The same two kernels, and of nine views the four that a step needs."""

    def __init__(self, layer: Any) -> None:
        self._layer, self._impl, self._name, self._whole = layer, layer.impl, layer.layer_name, layer.forward
        self._keep = torch.ops._C.cpu_attn_reshape_and_cache.default
        self._attend = torch.ops._C.cpu_attention_with_kv_cache.default
        self._of: Tensor | None = None

    def __call__(self, query: Tensor, key: Tensor | None, value: Tensor | None, *rest: Any, **more: Any) -> Tensor:
        """query, key, value: shape (tokens, heads * size). Returns shape (tokens, heads * size of a value). Without key
        and value: over what the cache has."""
        layer, impl, context = self._layer, self._impl, get_forward_context()
        steps, slots, many = context.attn_metadata, context.slot_mapping.get(self._name), query.shape[0]
        usual = type(steps) is dict and slots is not None and not rest and not more
        if not usual or key is None or value is None:  # as where vLLM tries how much memory it takes
            attended: Tensor = self._whole(query, key, value, *rest, **more)
            return attended
        step = steps[self._name]
        if layer.kv_cache is not self._of:
            self._split(layer.kv_cache)
        scales = layer._k_scale_float, layer._v_scale_float, impl.kv_cache_dtype
        out = query.new_empty((many, layer.num_heads, layer.head_size_v))
        key, value = (
            key.view(-1, layer.num_kv_heads, layer.head_size),
            value.view(-1, layer.num_kv_heads, layer.head_size_v),
        )
        self._keep(key, value, self._keys, self._values, slots, layer.isa, *scales)
        query, real = query.view(-1, layer.num_heads, layer.head_size), step.num_actual_tokens
        self._attend(
            query if real == many else query[:real],
            self._keys,
            self._values,
            out if real == many else out[:real],
            step.query_start_loc,
            step.seq_lens,
            impl.scale,
            step.causal,
            impl.alibi_slopes,
            impl.sliding_window,
            step.block_table,
            impl.logits_soft_cap,
            step.scheduler_metadata,
            impl.sinks,
            step.dynamic_causal,
            *scales,
        )
        return out.view(many, -1)

    def _split(self, cache: Tensor) -> None:
        """cache: shape (blocks, heads, tokens of a block, 2 * size)."""
        blocks, heads, tokens, _ = cache.shape
        self._keys, self._values = cache.view(blocks, heads, 2 * tokens, -1).chunk(2, 2)
        self._of = cache
