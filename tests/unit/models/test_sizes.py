"""Parameters and bytes against figures worked out by hand from the models' own configs."""

from typing import Any

from fathom.models.schemes import FP8, INT8
from fathom.models.sizes import Part, Role, Sizes, measure
from fathom.models.weights import Tensor

LLAMA_3_8B: dict[str, Any] = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
}
DEEPSEEK_V3: dict[str, Any] = {
    "model_type": "deepseek_v3",
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "n_routed_experts": 256,
    "num_experts_per_tok": 8,
    "max_position_embeddings": 163840,
    "rope_scaling": {"type": "yarn", "factor": 40},
    "quantization_config": {"quant_method": "fp8"},
}
QWEN2_5_0_5B: dict[str, Any] = {
    "model_type": "qwen2",
    "num_hidden_layers": 24,
    "hidden_size": 896,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
}


def tensor(name: str, *shape: int, dtype: str = "BF16") -> Tensor:
    count = 1
    for length in shape:
        count *= length
    return Tensor(name, dtype, shape, count * {"BF16": 2, "F8_E4M3": 1, "F32": 4, "U8": 1, "I32": 4}[dtype])


def llama_3_8b() -> list[Tensor]:
    layers = [
        tensor(f"model.layers.{layer}.{name}.weight", *shape)
        for layer in range(32)
        for name, shape in {
            "self_attn.q_proj": (4096, 4096),
            "self_attn.k_proj": (1024, 4096),
            "self_attn.v_proj": (1024, 4096),
            "self_attn.o_proj": (4096, 4096),
            "mlp.gate_proj": (14336, 4096),
            "mlp.up_proj": (14336, 4096),
            "mlp.down_proj": (4096, 14336),
            "input_layernorm": (4096,),
            "post_attention_layernorm": (4096,),
        }.items()
    ]
    ends = [tensor("model.embed_tokens.weight", 128256, 4096), tensor("lm_head.weight", 128256, 4096)]
    return [*layers, *ends, tensor("model.norm.weight", 4096)]


def qwen2_5_0_5b() -> list[Tensor]:
    layers = [
        tensor(f"model.layers.{layer}.{name}", *shape)
        for layer in range(24)
        for name, shape in {
            "self_attn.q_proj.weight": (896, 896),
            "self_attn.q_proj.bias": (896,),
            "self_attn.k_proj.weight": (128, 896),
            "self_attn.k_proj.bias": (128,),
            "self_attn.v_proj.weight": (128, 896),
            "self_attn.v_proj.bias": (128,),
            "self_attn.o_proj.weight": (896, 896),
            "mlp.gate_proj.weight": (4864, 896),
            "mlp.up_proj.weight": (4864, 896),
            "mlp.down_proj.weight": (896, 4864),
            "input_layernorm.weight": (896,),
            "post_attention_layernorm.weight": (896,),
        }.items()
    ]
    return [*layers, tensor("model.embed_tokens.weight", 151936, 896), tensor("model.norm.weight", 896)]


def deepseek_v3() -> list[Tensor]:
    """Its large tensors, those of one kind in a layer as one; and the layer that guesses ahead."""
    dense = [tensor(f"model.layers.{layer}.mlp.up_proj.weight", 3 * 18432, 7168, dtype="F8_E4M3") for layer in range(3)]
    sparse = [
        tensor(f"model.layers.{layer}.mlp.{name}.weight", *shape, dtype="F8_E4M3")
        for layer in range(3, 62)
        for name, shape in {
            "experts.0.up_proj": (256 * 3 * 2048, 7168),
            "shared_experts.up_proj": (3 * 2048, 7168),
        }.items()
    ]
    attention = 7168 * 1536 + 1536 * 128 * 192 + 7168 * 576 + 512 * 128 * 256 + 128 * 128 * 7168
    mixed = [tensor(f"model.layers.{layer}.self_attn.all.weight", 1, attention, dtype="F8_E4M3") for layer in range(61)]
    gates = [tensor(f"model.layers.{layer}.mlp.gate.weight", 256, 7168) for layer in range(3, 61)]
    ends = [tensor("model.embed_tokens.weight", 129280, 7168), tensor("lm_head.weight", 129280, 7168)]
    scales = [tensor("model.layers.0.mlp.up_proj.weight_scale_inv", 432, 56, dtype="F32")]
    return [*dense, *sparse, *mixed, *gates, *ends, *scales]


def test_a_dense_model_has_the_parameters_of_its_card() -> None:
    sizes = measure(llama_3_8b(), LLAMA_3_8B)
    assert sizes.parameters == sizes.active_parameters == 8_030_261_248
    assert sizes.bytes == 16_060_522_496
    assert sizes.bytes_by_dtype == {"BF16": 16_060_522_496}


def test_of_an_embedding_beside_a_head_a_token_reads_nothing() -> None:
    assert measure(llama_3_8b(), LLAMA_3_8B).read.bytes == 16_060_522_496 - 128256 * 4096 * 2


def test_an_embedding_that_is_the_head_too_is_read_whole() -> None:
    sizes = measure(qwen2_5_0_5b(), QWEN2_5_0_5B)
    assert sizes.parameters == 494_032_768
    assert sizes.read.bytes == sizes.bytes == 988_065_536


def test_8_bits_halve_the_linear_layers_and_nothing_else() -> None:
    sizes = measure(llama_3_8b(), LLAMA_3_8B)
    linear = 32 * (2 * 4096 * 4096 + 2 * 1024 * 4096 + 3 * 14336 * 4096)
    assert linear == 6_979_321_856
    smaller = sizes.quantized(FP8)
    assert smaller.bytes == 16_060_522_496 - linear
    assert smaller.bytes_by_dtype == {"8-bit": linear, "BF16": 16_060_522_496 - 2 * linear}
    assert smaller.parameters == sizes.parameters


def test_int8_leaves_what_attention_reads_as_it_is() -> None:
    sizes = measure(llama_3_8b(), LLAMA_3_8B)
    inputs = 32 * (4096 * 4096 + 2 * 1024 * 4096)
    assert sizes.parts[Role.ATTENTION_INPUTS].parameters == inputs
    assert sizes.quantized(INT8).bytes == sizes.quantized(FP8).bytes + inputs


def test_a_mixture_uses_its_share_of_experts_and_its_guessing_layer_is_no_part_of_it() -> None:
    sizes = measure(deepseek_v3(), DEEPSEEK_V3)
    assert round(sizes.parameters / 1e9) == 671
    assert round(sizes.active_parameters / 1e9, 1) == 37.6  # 37 by its card, which leaves out the embedding
    assert sizes.expert_share == 8 / 256
    assert sizes.parts[Role.EXPERTS].parameters == 58 * 256 * 3 * 2048 * 7168
    assert sizes.parts[Role.ASIDE].parameters == (256 + 1) * 3 * 2048 * 7168


def test_a_token_of_a_mixture_reads_the_experts_that_it_uses() -> None:
    sizes = measure(deepseek_v3(), DEEPSEEK_V3)
    experts, aside = sizes.parts[Role.EXPERTS].bytes, sizes.parts[Role.ASIDE].bytes
    assert sizes.read.bytes == sizes.bytes - aside - experts * 31 // 32 - 129280 * 7168 * 2


def test_a_router_is_not_quantized() -> None:
    parts = measure([tensor("model.layers.0.mlp.gate.weight", 8, 64)], {"num_hidden_layers": 1}).parts
    assert list(parts) == [Role.OTHER]


def test_packed_weights_are_counted_one_by_one() -> None:
    gptq = {"quantization_config": {"quant_method": "gptq", "bits": 4}, "num_hidden_layers": 1}
    packed = [tensor("model.layers.0.mlp.up_proj.qweight", 8, 64, dtype="I32"), tensor("x.scales", 1, 64)]
    assert measure(packed, gptq).parameters == 8 * 64 * 8
    mxfp4 = {"quantization_config": {"quant_method": "mxfp4"}, "num_hidden_layers": 1}
    blocks = [tensor("model.layers.0.mlp.experts.up_proj_blocks", 4, 64, 16, dtype="U8")]
    blocks.append(tensor("model.layers.0.mlp.experts.up_proj_scales", 4, 64, dtype="U8"))
    assert measure(blocks, mxfp4).parameters == 4 * 64 * 32


def test_the_names_of_gguf_files_are_known() -> None:
    names = {
        "token_embd.weight": Role.EMBEDDING,
        "output.weight": Role.HEAD,
        "blk.0.attn_q.weight": Role.ATTENTION_INPUTS,
        "blk.0.attn_output.weight": Role.LINEAR,
        "blk.0.ffn_up_exps.weight": Role.EXPERTS,
        "blk.0.ffn_gate_inp.weight": Role.OTHER,
        "blk.0.attn_norm.weight": Role.OTHER,
        "output_norm.weight": Role.OTHER,
    }
    for name, role in names.items():
        shape = (64,) if "norm" in name else (8, 64)
        assert list(measure([tensor(name, *shape)], {"num_hidden_layers": 1}).parts) == [role], name


def test_what_sees_and_hears_is_set_aside() -> None:
    for name in ("model.visual.blocks.0.attn.qkv.weight", "vision_tower.layers.3.fc.weight", "audio_tower.conv.weight"):
        assert measure([tensor(name, 8, 64)], {"num_hidden_layers": 1}).parameters == 0


def test_nothing_measured_is_nothing() -> None:
    assert Sizes({}, {}).read == Part()
