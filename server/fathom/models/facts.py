"""What a model's config.json says about its size in memory and its context, without importing its code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fathom.core.errors import StartupError
from fathom.models.weights import Weights

_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length")
_ALREADY_SCALED = ("default", "su", "longrope", "llama3", "yarn", "deepseek_yarn")  # lengths of these count the factor
_DTYPES = {name: name for name in ("bfloat16", "float16", "float32")} | {"half": "float16", "float": "float32"}
_FLOAT_BYTES = {"BF16": 2, "F16": 2, "F32": 4}
_WIDTHS = {"fp8": 1, "int8": 1, "bfloat16": 2, "float16": 2, "half": 2, "float32": 4, "float": 4}
_EXPERTS = ("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts")
_EXPERTS_USED = ("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_k", "top_k_experts")
_BITS = {"fp8": 8, "mxfp4": 4}  # methods whose config does not say
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

    def computed_in(self, asked: str) -> str:
        """The engine's type, as vLLM resolves `auto`: a float32 checkpoint is made smaller. Raises StartupError."""
        if asked == "auto":
            return "bfloat16" if self.dtype in ("float32", "float") else self.dtype
        if asked not in _DTYPES:
            raise StartupError(f"dtype {asked!r} is unknown: give auto, bfloat16, float16 or float32.")
        return _DTYPES[asked]

    @property
    def quantized(self) -> bool:
        return self.weight_dtype not in _FLOAT_BYTES or bool(self.config.get("quantization_config"))

    def widening(self, asked: str) -> float:
        """How much wider weights are when they are loaded than in their files. Quantized ones stay as they are."""
        stored = _FLOAT_BYTES.get(self.weight_dtype)
        return dtype_bytes(self.computed_in(asked)) / stored if stored else 1.0

    @property
    def float16_bytes(self) -> int:
        """Of all weights in float16. Where most have 8 bits and some 16, more than it takes."""
        stored = 1 if self.quantized else _FLOAT_BYTES[self.weight_dtype]
        return self.weight_bytes // stored * 2

    @property
    def table_values(self) -> int:
        """Numbers in the table of tokens' embeddings; 0 where the config does not say."""
        config = text_config(self.config)
        return int(config.get("vocab_size") or 0) * int(config.get("hidden_size") or 0)

    def kv_bytes_per_token(self, dtype_bytes: int = 2) -> int:
        return self.kv_values_per_token * dtype_bytes


def from_config(
    config: Mapping[str, Any],
    weights: Weights,
    context_length: int | None,
    chat_template: str | None = None,
    *,
    sentence_encoder: bool = False,
) -> ModelFacts:
    """What config.json says, with what other files do: the weights' headers, the template."""
    text = text_config(config)
    named = (text.get("dtype"), config.get("dtype"), text.get("torch_dtype"), config.get("torch_dtype"))
    return ModelFacts(
        architectures=tuple(config.get("architectures") or ()),
        model_type=str(config.get("model_type") or ""),
        dtype=str(next(filter(None, named), "bfloat16")),
        weight_bytes=weights.bytes,
        weight_dtype=weights.dtype,
        context_length=context_length,
        layers=layers(text),
        kv_values_per_token=kv_values_per_token(text),
        latent_attention=latent_attention(text),
        chat_template=chat_template,
        config=config,
        sentence_encoder=sentence_encoder,
    )


def dtype_bytes(name: str) -> int:
    """Bytes of one value of a type, as settings name it. Raises StartupError."""
    for prefix, count in _WIDTHS.items():
        if name.startswith(prefix):
            return count
    raise StartupError(f"type {name!r} of the KV cache is unknown: give auto, bfloat16, float16, float32 or fp8.")


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


def reads_part_of_the_cache(config: Mapping[str, Any]) -> bool:
    """Sliding windows, and sparse attention: a token of a long context does not look at all that came before."""
    windows = "sliding_attention" in (config.get("layer_types") or ()) or (
        config.get("sliding_window") and config.get("use_sliding_window", True)
    )
    return bool(windows or config.get("index_topk"))


def experts(config: Mapping[str, Any]) -> tuple[int, int]:
    """How many routed experts a token uses, and of how many; (1, 1) for a dense model."""
    of = next((int(config[name]) for name in _EXPERTS if config.get(name)), 1)
    used = next((int(config[name]) for name in _EXPERTS_USED if config.get(name)), of)
    return min(used, of), of


def weight_bits(config: Mapping[str, Any]) -> int | None:
    """Bits of a quantized weight, as the checkpoint's quantization_config names them; None if it has none."""
    quantization = config.get("quantization_config")
    if not isinstance(quantization, Mapping):
        return None
    groups = quantization.get("config_groups")
    group: Any = next(iter(groups.values()), None) if isinstance(groups, Mapping) else None
    inner = group.get("weights") if isinstance(group, Mapping) else None
    bits = quantization.get("bits") or (inner or {}).get("num_bits")
    return int(bits) if bits else _BITS.get(str(quantization.get("quant_method")), 4)
