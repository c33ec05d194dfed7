"""The arithmetic of a plan against figures worked out by hand."""

from dataclasses import replace
from typing import Any

import pytest
from fathom.core.errors import StartupError
from fathom.models import facts, weights
from fathom.models.memory import GIB, RUNTIME_BYTES
from fathom.models.planning import Hardware, Wanted, forecast
from fathom.models.schemes import INT8
from fathom.models.sizes import measure
from fathom.models.weights import Tensor
from fathom.settings import EngineSettings

from tests.unit.models import test_sizes as models

CPU = Hardware("cpu", "a CPU", 64 * GIB, "by hand", 100e9)
H100 = Hardware("cuda", "H100 SXM", 80 * 10**9, "by hand", 3350e9)


def wanted(tensors: list[Tensor], config: dict[str, Any], **settings: Any) -> Wanted:
    known = facts.from_config(config, weights.total(tensors), facts.context_length(config))
    return Wanted(known, measure(tensors, config), EngineSettings(**settings))


def llama(**settings: Any) -> Wanted:
    return wanted(models.llama_3_8b(), models.LLAMA_3_8B, **settings)


def deepseek(**settings: Any) -> Wanted:
    return wanted(models.deepseek_v3(), models.DEEPSEEK_V3, **settings)


def qwen(**settings: Any) -> Wanted:
    return wanted(models.qwen2_5_0_5b(), models.QWEN2_5_0_5B, **settings)


def test_the_cache_of_a_token_is_that_of_the_model() -> None:
    assert forecast(llama(), CPU).token_bytes == 131_072  # 2 x 32 layers x 8 heads x 128 x 2 bytes
    assert forecast(qwen(), CPU).token_bytes == 12_288  # 2 x 24 layers x 2 heads x 64 x 2 bytes
    assert forecast(llama(kv_cache_dtype="fp8"), CPU).token_bytes == 65_536


def test_one_stream_is_bound_by_what_a_token_reads() -> None:
    found = forecast(llama(), CPU)
    assert found.read_bytes == 15_009_849_344
    assert found.tokens_per_second == pytest.approx(100e9 / 15_009_849_344)  # 6.66
    assert found.tokens_per_second_at_full_context == pytest.approx(100e9 / (15_009_849_344 + 8192 * 131_072))  # 6.22


def test_a_cpu_is_planned_as_a_start_does_it() -> None:
    found = forecast(llama(), CPU)
    assert (found.plan.kv_bytes, found.plan.kv_tokens, found.plan.max_model_len) == (4 * GIB, 32_640, 8192)
    assert found.short_of is None
    assert [(row.context, row.request_bytes, row.in_cache) for row in found.rows] == [
        (2048, 256 << 20, 15),
        (8192, 1 << 30, 3),
    ]
    left = 64 * GIB - 16_060_522_496 - RUNTIME_BYTES
    assert found.rows[-1].at_most == (left // 131_072 - 128) // 8192 == 47


def test_weights_that_are_loaded_wider_take_more_and_are_read_slower() -> None:
    found = forecast(qwen(dtype="float32"), CPU)
    assert found.plan.weight_bytes == found.read_bytes == 2 * 988_065_536
    assert found.token_bytes == 2 * 12_288


def test_packed_weights_are_read_in_16_bits_whatever_they_are_loaded_in() -> None:
    packed = replace(qwen(dtype="float32"), packed=True, extra=GIB)
    assert forecast(packed, CPU).plan.weight_bytes == 2 * 988_065_536 + GIB
    assert forecast(packed, CPU).read_bytes == 988_065_536
    in_int8 = replace(qwen().quantized(INT8), packed=True)
    assert forecast(in_int8, CPU).read_bytes == 988_065_536


def test_what_does_not_fit_says_what_would() -> None:
    found = forecast(llama(), replace(CPU, memory=16 * GIB))
    assert found.short_of is not None
    assert found.short_of.startswith("not enough memory: it needs 15.0 GiB of weights, 272.0 MiB of KV cache")
    assert found.fixes == ("8-bit weights, 9.2 GiB: --scheme int8 shows them", "17.2 GiB of memory")


def test_what_is_said_to_do_does() -> None:
    short = llama(max_model_len=8192)
    tight = replace(CPU, memory=int(17.5 * GIB))
    found = forecast(short, tight)
    assert found.fixes[0] == "a smaller context: --max-model-len 4096"
    assert forecast(short.with_settings(max_model_len=4096), tight).short_of is None
    assert forecast(short.with_settings(max_model_len=8192), tight).short_of is not None


def test_gpus_give_the_cache_what_the_weights_leave() -> None:
    found = forecast(llama(), H100)
    left = int(80e9 * 0.9) - 16_060_522_496 - RUNTIME_BYTES
    assert found.plan.kv_bytes == left
    assert found.plan.kv_tokens == (left // (131_072 * 16) - 1) * 16
    assert found.tokens_per_second == pytest.approx(3350e9 / 15_009_849_344)  # 223


def test_gpus_that_share_layers_read_together() -> None:
    one, two = forecast(llama(), H100), forecast(llama(tensor_parallel_size=2), H100)
    assert one.tokens_per_second is not None
    assert two.tokens_per_second == pytest.approx(2 * one.tokens_per_second)
    assert two.available_bytes == 2 * one.available_bytes


def test_gpus_beyond_the_shared_heads_keep_copies() -> None:
    assert forecast(llama(tensor_parallel_size=8), H100).token_bytes == 131_072
    assert forecast(llama(tensor_parallel_size=16), H100).token_bytes == 2 * 131_072


def test_a_latent_vector_is_kept_by_every_gpu() -> None:
    assert forecast(deepseek(), H100).token_bytes == 61 * 576 * 2  # 70,272
    assert forecast(deepseek(tensor_parallel_size=8), H100).token_bytes == 8 * 70_272


def test_a_large_mixture_takes_sixteen_gpus_of_80_gb() -> None:
    found = forecast(deepseek(tensor_parallel_size=8), H100)
    assert found.short_of is not None
    assert found.fixes == ("16 GPUs: --gpus 16",)
    assert forecast(deepseek(tensor_parallel_size=16), H100).short_of is None


def test_a_gpu_that_cannot_hold_the_own_context_is_told_a_smaller_one() -> None:
    small = replace(H100, memory=24 * 10**9)
    long = llama()
    long = replace(long, facts=replace(long.facts, context_length=131_072))
    found = forecast(long, small)
    assert found.fixes[0] == "a smaller context: --max-model-len 16384"
    assert forecast(long.with_settings(max_model_len=16384), small).short_of is None


def test_quantized_weights_are_not_quantized_again() -> None:
    with pytest.raises(StartupError, match=r"^--scheme is for weights of 16 or 32 bits, and these are F8_E4M3"):
        deepseek().quantized(INT8)


def test_heads_that_cannot_be_shared_out_are_refused() -> None:
    with pytest.raises(StartupError, match=r"^4 GPUs cannot share the 14 attention heads .*: take 1 or 2 or 7 or 14\."):
        forecast(qwen(tensor_parallel_size=4), H100)


def test_where_windows_limit_what_is_read_no_bound_for_long_contexts_is_given() -> None:
    sliding = wanted(models.llama_3_8b(), models.LLAMA_3_8B | {"sliding_window": 128})
    assert forecast(sliding, CPU).tokens_per_second_at_full_context is None


def test_without_a_bandwidth_there_is_no_speed() -> None:
    assert forecast(llama(), replace(H100, bandwidth=None)).tokens_per_second is None


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"dtype": "int3"}, r"^dtype 'int3' is unknown: give auto, bfloat16"),
        ({"kv_cache_dtype": "int3"}, r"^type 'int3' of the KV cache is unknown"),
        ({"max_model_len": 9000}, r"^max_model_len = 9,000 is above the model's own context of 8,192"),
    ],
)
def test_settings_that_no_machine_can_serve_are_refused(settings: dict[str, Any], problem: str) -> None:
    for hardware in (CPU, H100):
        with pytest.raises(StartupError, match=problem):
            forecast(llama(**settings), hardware)
