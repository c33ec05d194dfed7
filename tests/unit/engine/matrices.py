"""Matrices for the tests of linear layers, and how near a product has to be."""

import torch
from torch import Tensor

OUT, INTO = 96, 64


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) / 8


def in_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """weight: shape (out, in). Returns int8 of that shape, and a scale for each row."""
    scale = weight.abs().amax(1) / 127
    return (weight / scale[:, None]).round().to(torch.int8), scale


def close(y: Tensor, expected: Tensor, bits: int = 6) -> None:
    torch.testing.assert_close(y.double(), expected, rtol=2**-bits, atol=2**-bits)
