"""vLLM's C++ kernels for norms on a CPU too; vLLM takes them on GPUs only.

On a CPU it leaves norms to torch.compile. Where nothing is compiled each of them is nine of PyTorch's operators, which
take some 100 us more for a row (docs/performance.md).
"""

import torch
from torch import Tensor

_VECTOR = 8  # numbers; the kernels take rows that are whole vectors

PRIORITY = {"rms_norm": ["fathom"], "fused_add_rms_norm": ["fathom"]}
"""Of vLLM's `ir_op_priority`. Its own implementation takes what these do not."""


def offer_norms() -> None:
    """In each of vLLM's processes: its config looks the names up, and the engine calls them. The kernels come with
    `vllm._custom_ops`, in processes that compute."""
    from vllm import ir
    from vllm.platforms import current_platform

    if current_platform.is_cpu() and "fathom" not in ir.ops.rms_norm.impls:
        ir.ops.rms_norm.register_impl("fathom", supports_args=alike)(rms_norm)
        ir.ops.fused_add_rms_norm.register_impl("fathom", supports_args=both_alike, inplace=True)(fused_add_rms_norm)


def rms_norm(x: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None) -> Tensor:
    """Over the last dimension of x. The kernel takes rows that lie one behind the other, and does not check it."""
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    torch.ops._C.rms_norm(out, x.contiguous(), weight, epsilon)
    return out


def fused_add_rms_norm(
    x: Tensor, x_residual: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None
) -> tuple[Tensor, Tensor]:
    """The norm of the sum, and the sum. In place: both of them take the memory of what they are made of."""
    torch.ops._C.fused_add_rms_norm(x, x_residual, weight, epsilon)
    return x, x_residual


def alike(x: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None) -> bool:
    """What the kernel knows: a weight of the same type (Gemma's is another), and all of a row counted."""
    known = variance_size is None and weight is not None and weight.dtype == x.dtype
    return known and x.shape[-1] % _VECTOR == 0


def both_alike(
    x: Tensor, x_residual: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None
) -> bool:
    rows = x.is_contiguous() and x_residual.is_contiguous() and x_residual.dtype == x.dtype
    return rows and alike(x, weight, epsilon, variance_size)
