import pytest
from fathom.models.projections import is_other_matrix, is_projection, is_quantized, is_stack_of_experts
from fathom.models.schemes import FP8, INT8

MATRIX = (64, 32)


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.31.self_attn.o_proj.weight",
        "model.layers.3.mlp.down_proj.weight",
        "model.layers.3.mlp.gate_up_proj.weight",
        "model.layers.3.mlp.experts.17.gate_proj.weight",
        "model.layers.3.mlp.shared_experts.up_proj.weight",
        "model.layers.3.block_sparse_moe.experts.7.w2.weight",
        "model.layers.3.self_attn.kv_a_proj_with_mqa.weight",
        "layers.0.self_attn.k_proj.weight",
    ],
)
def test_projections_of_attention_mlps_and_experts_are_quantized(name: str) -> None:
    assert is_projection(name, MATRIX)
    assert not is_other_matrix(name, MATRIX, FP8)


@pytest.mark.parametrize(
    "name",
    [
        "model.embed_tokens.weight",
        "lm_head.weight",
        "model.layers.3.mlp.gate.weight",
        "model.layers.3.mlp.shared_expert_gate.weight",
        "model.layers.3.block_sparse_moe.gate.weight",
        "model.layers.3.self_attn.kv_b_proj.weight",
        "transformer.h.0.attn.c_attn.weight",
    ],
)
def test_what_decides_much_with_few_numbers_stays_and_the_engine_is_told(name: str) -> None:
    assert not is_projection(name, MATRIX)
    assert is_other_matrix(name, MATRIX, FP8)


@pytest.mark.parametrize("name", ["model.layers.0.self_attn.q_proj.bias", "model.layers.0.input_layernorm.weight"])
def test_biases_and_norms_are_no_matrices(name: str) -> None:
    assert not is_projection(name, (64,))
    assert not is_other_matrix(name, (64,), FP8)


def test_experts_in_one_tensor_are_told() -> None:
    assert is_stack_of_experts("model.layers.0.mlp.experts.gate_up_proj", (8, 64, 32))
    assert not is_stack_of_experts("model.layers.0.mlp.experts.0.up_proj.weight", MATRIX)


def test_int8_keeps_what_reads_the_input_of_attention_and_fp8_does_not() -> None:
    for name in ("q_proj", "k_proj", "v_proj", "qkv_proj"):
        weight = f"model.layers.0.self_attn.{name}.weight"
        assert is_other_matrix(weight, MATRIX, INT8)
        assert is_quantized(weight, MATRIX, FP8)
    assert is_quantized("model.layers.0.self_attn.o_proj.weight", MATRIX, INT8)
