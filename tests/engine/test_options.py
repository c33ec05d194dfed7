"""Settings to vLLM's AsyncEngineArgs. Imports vllm, starts no engine."""

from pathlib import Path
from typing import Any

import pytest
from fathom.core.errors import StartupError
from fathom.engine.decided import Form
from fathom.engine.options import engine_args
from fathom.models.facts import ModelFacts
from fathom.models.fetch import PreparedModel
from fathom.models.memory import MemoryPlan
from fathom.models.profiles import by_name
from fathom.settings import EngineSettings, ModelSettings
from vllm.engine.arg_utils import AsyncEngineArgs

PLAN = MemoryPlan(weight_bytes=1000, kv_bytes=1 << 30, kv_tokens=4096, max_model_len=2048)


def args(
    device: str = "cpu", latent: bool = False, profile: str = "plain", form: Form | None = None, **settings: Any
) -> AsyncEngineArgs:
    facts = ModelFacts(("X",), "x", "bfloat16", 1000, "BF16", 4096, 2, 128, latent, None, {})
    prepared = PreparedModel("some-model", Path("/models/x"), "a test", facts)
    return engine_args(prepared, by_name(profile), ModelSettings(), EngineSettings(**settings), PLAN, device, form)


def test_a_cpu_runs_eagerly_unless_asked():
    assert args().enforce_eager
    assert not args(compile="on").enforce_eager
    assert not args(device="cuda").enforce_eager
    assert args(device="cuda", compile="off").enforce_eager


def test_norms_are_vllms_kernels_where_nothing_is_compiled_on_a_cpu():
    assert args().ir_op_priority.rms_norm == args().ir_op_priority.fused_add_rms_norm == ["fathom"]
    assert args(compile="on", lora={"a": "/a"}).ir_op_priority.rms_norm == ["fathom"]  # vLLM compiles none of that
    for others in (args(compile="on"), args(device="cuda"), args(device="cuda", compile="off")):
        assert others.ir_op_priority.rms_norm == others.ir_op_priority.fused_add_rms_norm == []


def test_engines_hear_of_the_form_of_linear_layers():
    assert args(form="copied").additional_config == {"fathom_linear": "copied"}
    assert args().additional_config == {}
    both = args(form="copied", args={"additional_config": {"mine": 1}}).additional_config
    assert both == {"fathom_linear": "copied", "mine": 1}


def test_latent_attention_on_a_cpu_does_without_vllms_rotary_embedding():
    assert args(latent=True).compilation_config.custom_ops == ["all", "-rotary_embedding"]
    assert "-rotary_embedding" not in args().compilation_config.custom_ops
    assert "-rotary_embedding" not in args(device="cuda", latent=True).compilation_config.custom_ops


def test_latent_attention_in_float32_on_a_cpu_does_without_amx():
    assert args(latent=True, dtype="float32").attention_backend == "CPU_MLA"
    others = [args(latent=True), args(dtype="float32"), args(device="cuda", latent=True, dtype="float32")]
    assert [made.attention_backend for made in others] == [None] * 3


def test_the_plan_and_the_named_settings_arrive():
    made = args(dtype="float32", kv_cache_dtype="fp8", seed=7, tensor_parallel_size=2)
    assert (made.kv_cache_memory_bytes, made.max_model_len, made.max_num_seqs) == (1 << 30, 2048, 74)
    assert (made.dtype, made.kv_cache_dtype, made.seed, made.tensor_parallel_size) == ("float32", "fp8", 7, 2)
    assert (made.model, made.served_model_name) == ("/models/x", "some-model")


def test_the_engine_batches_a_few_more_than_a_tenant_may_fill():
    assert [args(max_num_seqs=seqs).max_num_seqs for seqs in (1, 7, 8, 16, 64)] == [1, 7, 14, 26, 74]
    assert args(device="cuda").max_num_seqs is None


def test_what_not_every_model_can_is_switched_off_or_left_to_vllm():
    made = args()
    assert (made.enable_prefix_caching, made.enable_chunked_prefill) == (None, None)
    made = args(prefix_caching=False, chunked_prefill=False)
    assert (made.enable_prefix_caching, made.enable_chunked_prefill) == (False, False)


def test_every_adapter_has_a_place():
    made = args(lora={"a": "/a", "b": "/b"})
    assert made.enable_lora
    assert made.max_loras == 2
    assert not args().enable_lora


def test_a_family_that_thinks_lets_vllm_end_its_trace():
    config = args(profile="qwen3").reasoning_config
    assert config == {"reasoning_start_str": "<think>", "reasoning_end_str": "</think>"}
    assert args(profile="plain").reasoning_config is None


def test_any_other_field_passes_through_and_overrules():
    assert args(args={"block_size": 32, "max_num_seqs": 3}).block_size == 32
    assert args(args={"max_num_seqs": 3}).max_num_seqs == 3


def test_an_unknown_field_fails_with_the_nearest_match():
    with pytest.raises(StartupError, match=r"engine\.args\.blocksize.*Did you mean 'block_size'"):
        args(args={"blocksize": 32})
