import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fathom.core.errors import StartupError
from fathom.models import memory
from fathom.models.memory import GIB, plan, plan_memory
from fathom.settings import EngineSettings

from tests.unit.models.known import SMOLLM2

QWEN3_8B = replace(SMOLLM2, weight_bytes=16_381_470_720, context_length=40960, kv_values_per_token=36 * 2 * 8 * 128)


def test_the_cache_takes_its_share_of_what_the_weights_leave() -> None:
    planned = plan(SMOLLM2, 8 * GIB, kv_share=0.5)
    assert planned.kv_bytes == int((8 * GIB - SMOLLM2.weight_bytes - memory.RUNTIME_BYTES) * 0.5)
    assert planned.max_model_len == 8192


def test_the_planned_tokens_fit_into_the_planned_bytes_with_a_block_to_spare() -> None:
    planned = plan(QWEN3_8B, 24 * GIB, kv_share=0.5)
    assert planned.kv_tokens is not None
    assert planned.kv_bytes is not None
    assert planned.kv_tokens % 128 == 0
    assert 0 <= planned.kv_bytes - (planned.kv_tokens + 128) * QWEN3_8B.kv_bytes_per_token() < 128 * 147_456


def test_the_context_is_what_the_cache_holds_when_that_is_less_than_the_models_own() -> None:
    planned = plan(QWEN3_8B, 22 * GIB, kv_share=0.5)
    assert planned.max_model_len == planned.kv_tokens
    assert planned.max_model_len is not None
    assert planned.max_model_len < 40960


def test_the_cache_is_not_larger_than_all_sequences_at_full_length_can_use() -> None:
    planned = plan(SMOLLM2, 64 * GIB, kv_share=0.9, max_model_len=256, max_num_seqs=8)
    assert planned.kv_bytes == (8 * 256 + 128) * SMOLLM2.kv_bytes_per_token()


def test_the_cache_is_not_larger_than_its_cap_unless_asked() -> None:
    assert plan(QWEN3_8B, 512 * GIB, kv_share=0.5).kv_bytes == memory.LARGEST_DEFAULT_KV_BYTES
    assert plan(QWEN3_8B, 512 * GIB, kv_share=0.5, kv_cache_memory_gib=100).kv_bytes == 100 * GIB


def test_a_context_that_is_asked_for_gets_more_than_the_share() -> None:
    planned = plan(QWEN3_8B, 24 * GIB, kv_share=0.1, max_model_len=32768)
    assert planned.max_model_len == 32768
    assert planned.kv_tokens is not None
    assert planned.kv_tokens >= 32768


def test_an_8_bit_cache_holds_twice_as_many_tokens() -> None:
    whole = plan(QWEN3_8B, 24 * GIB, kv_share=0.5).kv_tokens
    half = plan(QWEN3_8B, 24 * GIB, kv_share=0.5, kv_dtype_bytes=1).kv_tokens
    assert whole is not None
    assert half is not None
    assert half == pytest.approx(2 * whole, rel=0.01)


def test_a_model_that_does_not_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(StartupError) as caught:
        plan(QWEN3_8B, 8 * GIB, kv_share=0.5)
    assert str(caught.value) == (
        "not enough memory: it needs 15.3 GiB of weights, 306.0 MiB of KV cache and 2.0 GiB to run, and has 8.0 GiB; "
        "choose a smaller or quantized model, or free memory."
    )


def test_a_context_that_does_not_fit_is_refused_with_what_to_lower() -> None:
    with pytest.raises(StartupError, match=r"not enough memory: .* lower --max-model-len"):
        plan(QWEN3_8B, 20 * GIB, kv_share=0.5, max_model_len=40960)


def test_a_cache_that_does_not_fit_is_refused_with_what_to_lower() -> None:
    with pytest.raises(StartupError, match=r"10.0 GiB of KV cache.* lower --kv-cache-memory"):
        plan(SMOLLM2, 8 * GIB, kv_share=0.5, kv_cache_memory_gib=10)


def test_a_cache_that_is_too_small_for_the_context_is_refused() -> None:
    with pytest.raises(
        StartupError, match=r"a KV cache of 102.4 MiB is too small, it takes .* for 8,192 tokens: raise"
    ):
        plan(SMOLLM2, 8 * GIB, kv_share=0.5, kv_cache_memory_gib=0.1, max_model_len=8192)


def test_a_context_above_the_models_own_is_refused() -> None:
    with pytest.raises(StartupError, match=r"max_model_len = 9,000 is above the model's own context of 8,192 tokens"):
        plan(SMOLLM2, 8 * GIB, kv_share=0.5, max_model_len=9000)


def test_latent_attention_is_counted_in_its_smaller_blocks() -> None:
    deepseek = replace(SMOLLM2, kv_values_per_token=2 * 576, latent_attention=True, context_length=512)
    planned = plan(deepseek, 8 * GIB, kv_share=0.5, kv_cache_memory_gib=1200 * 2304 / GIB)
    assert planned.kv_tokens == 1200 - 16


def test_more_weights_count_as_weights() -> None:
    planned = plan_memory(SMOLLM2, EngineSettings(dtype="float32"), "cpu", 16 * GIB, extra=GIB)
    assert planned.weight_bytes == 2 * SMOLLM2.weight_bytes + GIB


def test_float16_has_two_bytes_for_each_weight() -> None:
    assert SMOLLM2.float16_bytes == SMOLLM2.weight_bytes
    assert replace(SMOLLM2, weight_dtype="F32").float16_bytes == SMOLLM2.weight_bytes // 2
    in_int8 = replace(SMOLLM2, config={"quantization_config": {"format": "int-quantized"}})
    assert in_int8.float16_bytes == 2 * SMOLLM2.weight_bytes


def test_a_gpu_is_left_to_size_its_own_cache() -> None:
    planned = plan_memory(SMOLLM2, EngineSettings(), "cuda")
    assert (planned.kv_bytes, planned.kv_tokens, planned.max_model_len) == (None, None, None)


def test_the_settings_reach_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 16 * GIB)
    settings = EngineSettings(kv_cache_memory=2.0, max_model_len=1024)
    planned = plan_memory(SMOLLM2, settings, "cpu")
    assert (planned.kv_bytes, planned.max_model_len) == (2 * GIB, 1024)
    halved = plan_memory(SMOLLM2, settings.model_copy(update={"tensor_parallel_size": 2}), "cpu")
    assert halved.kv_bytes == GIB


def machine(root: Path, available: int, node: dict[str, int] | None = None, **cgroup: Any) -> Path:
    """A /proc and /sys with these figures, in kB; the cgroup's are in bytes, as the kernel writes them."""
    (root / "proc").mkdir()
    (root / "proc/meminfo").write_text(f"MemTotal:  1000000 kB\nMemAvailable:  {available} kB\nHugePages_Total:  0\n")
    if node is not None:
        folder = root / f"sys/devices/system/cpu/cpu{min(os.sched_getaffinity(0))}/node0"
        folder.mkdir(parents=True)
        (folder / "meminfo").write_text("".join(f"Node 0 {name}:  {kb} kB\n" for name, kb in node.items()))
    (root / "sys/fs/cgroup").mkdir(parents=True)
    for name, value in cgroup.items():
        (root / "sys/fs/cgroup" / f"memory.{name}").write_text(f"{value}\n")
    return root


def test_the_whole_machine_counts_where_nothing_narrows_it(tmp_path: Path) -> None:
    assert memory.available_memory(machine(tmp_path, 900_000, max="max")) == 900_000 * 1024


def test_a_numa_node_with_less_than_the_machine_narrows_it(tmp_path: Path) -> None:
    node = {"MemTotal": 500_000, "MemFree": 100_000, "Active(file)": 20_000, "Inactive(file)": 30_000}
    assert memory.available_memory(machine(tmp_path, 900_000, node)) == 150_000 * 1024


def test_a_containers_limit_narrows_it(tmp_path: Path) -> None:
    root = machine(tmp_path, 900_000, max=400_000_000, current=150_000_000)
    assert memory.available_memory(root) == 250_000_000


def test_this_machine_has_memory() -> None:
    assert memory.available_memory() > 1 << 20
