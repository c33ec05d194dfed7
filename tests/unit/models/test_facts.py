from typing import Any

import pytest
from fathom.models import facts

LLAMA_8B = {"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096}


def test_grouped_query_attention_caches_keys_and_values_of_the_shared_heads() -> None:
    assert facts.kv_values_per_token(LLAMA_8B) == 32 * 2 * 8 * 128


def test_without_groups_every_head_is_cached() -> None:
    assert facts.kv_values_per_token({"n_layer": 12, "n_head": 12, "n_embd": 768}) == 12 * 2 * 12 * 64


def test_a_head_size_that_the_config_names_wins_over_the_division() -> None:
    assert facts.kv_values_per_token(LLAMA_8B | {"head_dim": 64}) == 32 * 2 * 8 * 64


def test_latent_attention_caches_one_vector_a_layer() -> None:
    deepseek = {"num_hidden_layers": 61, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "num_attention_heads": 128}
    assert facts.latent_attention(deepseek)
    assert facts.kv_values_per_token(deepseek) == 61 * 576


def test_layers_with_linear_attention_cache_nothing_a_token() -> None:
    kinds = ["linear_attention", "full_attention"] * 16
    assert facts.kv_values_per_token(LLAMA_8B | {"layer_types": kinds}) == 16 * 2 * 8 * 128


def test_a_config_without_attention_caches_nothing() -> None:
    assert facts.kv_values_per_token({"num_hidden_layers": 4}) == 0


def test_the_language_model_of_a_multimodal_config_is_found() -> None:
    assert facts.text_config({"vision_config": {}, "text_config": LLAMA_8B}) == LLAMA_8B
    assert facts.text_config(LLAMA_8B) == LLAMA_8B


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"max_position_embeddings": 8192}, 8192),
        ({"n_positions": 1024}, 1024),
        ({"max_position_embeddings": 163840, "rope_scaling": {"type": "yarn", "factor": 40}}, 163840),
        ({"max_position_embeddings": 131072, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, 131072),
        ({"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 2.0}}, 8192),
        ({"max_position_embeddings": 4096, "rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, 8192),
        ({"max_position_embeddings": 4096, "rope_scaling": None}, 4096),
        ({}, None),
    ],
)
def test_the_context_length_is_what_vllm_derives(config: dict[str, Any], length: int | None) -> None:
    assert facts.context_length(config) == length
