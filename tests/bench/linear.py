"""Ways to multiply with a model's projections on this CPU: python -m tests.bench.linear [--rows 1 16 64]

Milliseconds for all layers of SmolLM2-135M, one after the other, so that weights come from where they come from in a
step. Each way has random weights of its own; the best and the median of some passes are printed.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from fathom.engine import decided, machine, packing, sgl
from fathom.settings import EngineSettings
from torch import Tensor

SHAPES = ((960, 576), (576, 576), (3072, 576), (576, 1536))
"""Of a layer, (out, in): queries, keys and values; out of attention; gate and up; down."""
LAYERS = 30
PASSES = 9

Multiply = Callable[[Tensor], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.linear", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 2, 4, 8, 16, 64, 256])
    rows = parser.parse_args().rows
    os.environ.update({each.name: each.value for each in machine.choose(EngineSettings())})
    process = multiprocessing.get_context("spawn").Process(target=measure, args=(rows,))
    process.start()
    process.join()
    raise SystemExit(process.exitcode)


def measure(numbers: list[int]) -> None:
    from vllm.platforms import current_platform  # noqa: F401  its kernels are found with it

    torch.set_num_threads(os.cpu_count() or 1)
    print(f"{'rows':24}" + "".join(f"{each:>16}" for each in numbers), flush=True)
    for name, dtype, make in ways():
        layers = [make(torch.randn(shape) / 50) for _ in range(LAYERS) for shape in SHAPES]
        print(f"{name:24}" + "".join(f"{timed(layers, each, dtype):>16}" for each in numbers), flush=True)


def timed(layers: list[Multiply], rows: int, dtype: torch.dtype) -> str:
    inputs = [torch.randn(rows, into).to(dtype) for _, into in SHAPES] * LAYERS
    times = []
    for _ in range(PASSES):
        begun = time.perf_counter()
        for layer, x in zip(layers, inputs, strict=True):
            layer(x)
        times.append((time.perf_counter() - begun) * 1e3)
    return f"{min(times):.1f} / {statistics.median(times):.1f}"


def ways() -> Iterator[tuple[str, torch.dtype, Callable[[Tensor], Multiply]]]:
    """Each with a name and the type of its activations."""
    from vllm import _custom_ops as ops

    narrow = torch.bfloat16
    yield "float16, FBGEMM", torch.float32, lambda weight: _without_bias(packing.packed(weight))
    yield "bfloat16, PyTorch", narrow, lambda weight: partial(_by_pytorch, weight.to(narrow))
    yield "float32, oneDNN", torch.float32, lambda weight: _onednn(ops, weight)
    if "avx512f" in machine.cpu_flags():
        yield "bfloat16, oneDNN", narrow, lambda weight: _onednn(ops, weight.to(narrow))
        yield "INT8, oneDNN", narrow, lambda weight: _onednn_int8(ops, *_int8(weight))
    if {*decided.SGL} <= machine.cpu_flags():
        yield "bfloat16, SGL", narrow, lambda weight: _without_bias(sgl.blocked(weight.to(narrow)))
        yield "INT8, SGL", narrow, lambda weight: _sgl_int8(*_int8(weight))


def _without_bias(call: packing.Call) -> Multiply:
    return lambda x: call(x, None)


def _by_pytorch(weight: Tensor, x: Tensor) -> Tensor:
    return torch.nn.functional.linear(x, weight)


def _int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    scale = weight.abs().amax(1, keepdim=True) / 127
    return (weight / scale).round().to(torch.int8), scale


def _onednn(ops: Any, weight: Tensor) -> Multiply:
    handler = ops.create_onednn_mm(weight.t(), 32)
    return lambda x: ops.onednn_mm(handler, x, None)


def _onednn_int8(ops: Any, weight: Tensor, scale: Tensor) -> Multiply:
    """As vLLM's layer does it, activations of 8 bits by operators of their own."""
    handler = ops.create_onednn_scaled_mm(weight.t(), scale, torch.bfloat16, True, False, 32)
    adjust = weight.sum(1, dtype=torch.float32) * scale[:, 0]

    def multiply(x: Tensor) -> Tensor:
        rounded, scales, _ = ops.onednn_scaled_int8_quant(x, None, None, True)
        y = x.new_empty((len(x), len(scale)))
        done: Tensor = ops.onednn_scaled_mm(handler, rounded, y, scales, None, adjust[None], None)
        return done

    return multiply


def _sgl_int8(weight: Tensor, scale: Tensor) -> Multiply:
    matrix = torch.ops._C.convert_weight_packed(weight)
    flat = scale.reshape(-1).contiguous()
    return lambda x: torch.ops._C.int8_scaled_mm_with_quant(x, matrix, flat, None, x.dtype, True)


if __name__ == "__main__":
    main()
