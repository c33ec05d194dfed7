"""The facts of a model that tests reckon with."""

from fathom.models.facts import ModelFacts

SMOLLM2 = ModelFacts(
    architectures=("LlamaForCausalLM",),
    model_type="llama",
    dtype="bfloat16",
    weight_bytes=269_030_016,
    weight_dtype="BF16",
    context_length=8192,
    layers=30,
    kv_values_per_token=30 * 2 * 3 * 64,
    latent_attention=False,
    chat_template=None,
    config={},
)
