"""What a model's config.json says about its size in memory and its context, without importing its code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length")
_ALREADY_SCALED = ("default", "su", "longrope", "llama3", "yarn", "deepseek_yarn")  # lengths of these count the factor
_WITHOUT_CACHE = ("linear_attention", "mamba", "conv", "recurrent")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model on disk. `weight_bytes` is the checkpoint's size, `kv_values_per_token` the numbers cached for one token.

    context_length: the longest sequence the model was made for, in tokens; None when its config does not say.
    chat_template: Jinja source, None for a base model. sentence_encoder: laid out for sentence-transformers, that is,
    made for embeddings, whatever its architecture.
    """

    architectures: tuple[str, ...]
    model_type: str
    dtype: str
    weight_bytes: int
    weight_dtype: str
    context_length: int | None
    layers: int
    kv_values_per_token: int
    latent_attention: bool
    chat_template: str | None
    config: Mapping[str, Any]
    sentence_encoder: bool = False

    def kv_bytes_per_token(self, dtype_bytes: int = 2) -> int:
        return self.kv_values_per_token * dtype_bytes


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The language model's part of a config: multimodal models nest it."""
    nested = config.get("text_config") or config.get("llm_config")
    return nested if isinstance(nested, Mapping) else config


def context_length(config: Mapping[str, Any]) -> int | None:
    """As vLLM derives it: the smallest of the lengths, times the factor of a RoPE scaling that does not count it."""
    lengths = [int(config[name]) for name in _LENGTHS if config.get(name)]
    if not lengths:
        return None
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type", "default")) in _ALREADY_SCALED:
        return min(lengths)
    return int(min(lengths) * (rope.get("factor") or 1.0))


def latent_attention(config: Mapping[str, Any]) -> bool:
    """Multi-head latent attention (DeepSeek): one compressed vector a layer instead of keys and values a head."""
    return bool(config.get("kv_lora_rank"))


def layers(config: Mapping[str, Any]) -> int:
    return int(config.get("num_hidden_layers") or config.get("n_layer") or 0)


def kv_values_per_token(config: Mapping[str, Any]) -> int:
    """An upper bound for models with sliding windows: every attention layer is counted as if it kept every token."""
    kinds = config.get("layer_types") or []
    cached = layers(config) - sum(1 for kind in kinds if kind in _WITHOUT_CACHE)
    if latent_attention(config):
        return cached * (int(config["kv_lora_rank"]) + int(config.get("qk_rope_head_dim") or 0))
    heads = int(config.get("num_attention_heads") or config.get("n_head") or 0)
    if not heads:
        return 0
    head_dim = int(config.get("head_dim") or int(config.get("hidden_size") or config.get("n_embd") or 0) // heads)
    return cached * 2 * int(config.get("num_key_value_heads") or heads) * head_dim
