"""vLLM's C++ norms against its own PyTorch ones."""

import pytest
import torch
from fathom.engine import norms
from torch import Tensor
from vllm import ir
from vllm.platforms import current_platform

HIDDEN, EPSILON = 64, 1e-5
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@pytest.fixture(autouse=True)
def offered() -> None:
    current_platform.import_kernels()
    norms.offer_norms()
    norms.offer_norms()  # vLLM loads its plugins once a process, and a test once for each


def numbers(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


def close(found: Tensor, expected: Tensor) -> None:
    rough = 1e-5 if found.dtype == torch.float32 else 2e-2
    torch.testing.assert_close(found, expected, rtol=rough, atol=rough)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 7, 130])
def test_the_norm_is_that_of_pytorch(rows: int, dtype: torch.dtype) -> None:
    x, weight = numbers(rows, HIDDEN, dtype=dtype), numbers(HIDDEN, dtype=dtype)
    close(norms.rms_norm(x, weight, EPSILON), ir.ops.rms_norm.impls["native"].impl_fn(x, weight, EPSILON))


@pytest.mark.parametrize("dtype", DTYPES)
def test_heads_cut_out_of_a_wider_row_are_normed_each(dtype: torch.dtype) -> None:
    """As Qwen3 norms its queries: a view of the projection of queries, keys and values."""
    query = numbers(5, 6 * HIDDEN, dtype=dtype)[:, : 4 * HIDDEN].view(5, 4, HIDDEN)
    weight = numbers(HIDDEN, dtype=dtype)
    assert not query.is_contiguous()
    close(norms.rms_norm(query, weight, EPSILON), ir.ops.rms_norm.impls["native"].impl_fn(query, weight, EPSILON))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 7, 130])
def test_the_norm_of_a_sum_is_that_of_pytorch_and_keeps_the_sum(rows: int, dtype: torch.dtype) -> None:
    x, residual, weight = (numbers(*shape, dtype=dtype) for shape in ((rows, HIDDEN), (rows, HIDDEN), (HIDDEN,)))
    residual = residual * 3
    expected = ir.ops.fused_add_rms_norm.impls["native"].impl_fn(x, residual, weight, EPSILON)
    for found, wanted in zip(
        norms.fused_add_rms_norm(x.clone(), residual.clone(), weight, EPSILON), expected, strict=True
    ):
        close(found, wanted)


def test_what_the_kernels_do_not_know_is_left_to_vllm() -> None:
    x, weight = numbers(2, HIDDEN, dtype=torch.bfloat16), numbers(HIDDEN, dtype=torch.bfloat16)
    alone, fused = (op.impls["fathom"] for op in (ir.ops.rms_norm, ir.ops.fused_add_rms_norm))
    assert alone.supports_args(x, weight, EPSILON)
    assert not alone.supports_args(x, None, EPSILON)
    assert not alone.supports_args(x, weight.float(), EPSILON)
    assert not alone.supports_args(x, weight, EPSILON, 32)
    assert not alone.supports_args(x[:, :60].contiguous(), weight[:60], EPSILON)  # no whole vectors of 8
    assert fused.supports_args(x, x, weight, EPSILON)
    assert not fused.supports_args(x, x.float(), weight, EPSILON)
    strided = numbers(2, 2 * HIDDEN, dtype=torch.bfloat16)[:, :HIDDEN]
    assert not fused.supports_args(strided, x, weight, EPSILON)
    assert not fused.supports_args(x, strided, weight, EPSILON)
