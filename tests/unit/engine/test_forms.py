"""In which type a model computes, and in which form its linear layers are, by what the CPU can do."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest
from fathom.core.errors import StartupError
from fathom.engine import decided
from fathom.engine.decided import Decision
from fathom.models.facts import ModelFacts
from fathom.models.memory import GIB, RUNTIME_BYTES
from fathom.settings import EngineSettings

from tests.unit.models.known import SMOLLM2

ZEN3, SKYLAKE = {"avx2"}, {"avx2", "avx512f"}
GENOA = SKYLAKE | {"avx512_bf16", "avx512_vnni"}
FLOAT32_SENTENCES = replace(SMOLLM2, dtype="float32", weight_dtype="F32", sentence_encoder=True)
EXPERTS = replace(SMOLLM2, config={"num_experts": 8, "num_experts_per_tok": 2})
NESTED_EXPERTS = replace(SMOLLM2, config={"text_config": EXPERTS.config})
IN_INT8 = replace(SMOLLM2, config={"quantization_config": {"format": "int-quantized"}})


def decided_for(
    model: ModelFacts = SMOLLM2,
    flags: Collection[str] = ZEN3,
    device: str = "cpu",
    memory: int = 16 * GIB,
    **settings: Any,
) -> Decision:
    return decided.decide(EngineSettings.model_validate(settings), model, device, flags, memory)


def computed(*args: Any, **more: Any) -> tuple[str, str]:
    choice = decided_for(*args, **more).choices[0]
    return choice.value, choice.why


def test_models_compute_in_the_type_of_their_config():
    for flags, device in ((GENOA, "cpu"), (ZEN3, "cuda")):
        assert computed(flags=flags, device=device) == ("bfloat16", "as the model's config says")


@pytest.mark.parametrize(
    "model",
    [SMOLLM2, IN_INT8, EXPERTS, NESTED_EXPERTS, replace(SMOLLM2, latent_attention=True), FLOAT32_SENTENCES],
)
def test_a_cpu_that_is_slow_with_16_bits_has_32_between_the_layers(model: ModelFacts):
    assert computed(model)[0] == "float32"
    assert "no avx512f" in computed(model)[1]
    assert decided_for(model).settings.dtype == "float32"  # which vLLM would not choose by itself
    assert computed(model, flags=GENOA)[0] == "bfloat16"


def test_what_the_user_says_counts():
    for model in (SMOLLM2, EXPERTS, IN_INT8):
        assert computed(model, dtype="bfloat16") == ("bfloat16", "engine.dtype")
        assert decided_for(model, dtype="bfloat16").settings.dtype == "bfloat16"
    assert decided_for(dtype="bfloat16").form == "packed"


def test_weights_that_would_fill_the_memory_stay_as_they_are():
    for model in (EXPERTS, SMOLLM2):
        assert computed(model, memory=4 * SMOLLM2.weight_bytes)[0] == "float32"
        assert computed(model, memory=4 * SMOLLM2.weight_bytes - 1)[0] == "bfloat16"
    assert decided_for(memory=4 * SMOLLM2.weight_bytes - 1).form == "packed"  # which takes no more than they did


def test_quantized_weights_of_vllms_layers_stay_as_they_are():
    assert computed(replace(EXPERTS, weight_dtype="I8"))[0] == "bfloat16"
    assert computed(replace(EXPERTS, config=IN_INT8.config | EXPERTS.config))[0] == "bfloat16"


def test_an_unknown_type_is_refused():
    with pytest.raises(StartupError, match="dtype 'int3' is unknown"):
        computed(dtype="int3")


def test_a_cpu_that_is_slow_with_narrow_numbers_has_them_packed():
    found = decided_for()
    assert (found.form, found.extra) == ("packed", 0)
    assert found.choices[1].value == "weights in float16, packed for FBGEMM"
    assert found.choices[1].why == "this CPU has no avx512f, and multiplies these fastest"


def test_a_table_that_may_be_the_head_too_is_counted_twice():
    table = {"vocab_size": 49152, "hidden_size": 576}
    assert decided_for(replace(SMOLLM2, config=table)).extra == 2 * 49152 * 576
    assert decided_for(replace(SMOLLM2, config={"text_config": table})).extra == 2 * 49152 * 576


def test_int8_is_packed_if_twice_the_bytes_leave_half_of_the_memory():
    found = decided_for(IN_INT8)
    assert (found.form, found.extra) == ("packed", IN_INT8.weight_bytes)
    large = replace(IN_INT8, weight_bytes=6 * GIB)
    assert decided_for(large, memory=24 * GIB).form == "packed"
    tight = decided_for(large, memory=24 * GIB - 1)
    assert (tight.form, tight.extra, tight.choices[0].value) == ("converted", 0, "bfloat16")
    table = {"vocab_size": 1000, "hidden_size": 100}
    tight = decided_for(replace(large, config=IN_INT8.config | table), memory=24 * GIB - 1)
    assert (tight.form, tight.extra) == ("converted", 200_000)  # the head is packed all the same
    assert tight.choices[1].why.endswith("weights in float16 take too much memory")


def test_int8_is_packed_if_what_else_is_needed_fits():
    least = 2 * IN_INT8.weight_bytes + RUNTIME_BYTES + GIB
    assert decided_for(IN_INT8, memory=least, kv_cache_memory=1.0).form == "packed"
    assert decided_for(IN_INT8, memory=least - 1, kv_cache_memory=1.0).form == "converted"


def test_packed_weights_are_forced_and_forbidden():
    assert decided_for(IN_INT8, packed_weights="on", memory=1).form == "packed"
    assert decided_for(packed_weights="on", flags=GENOA).form == "packed"
    assert decided_for(packed_weights="on", flags=GENOA).choices[0].value == "bfloat16"
    assert decided_for(IN_INT8, packed_weights="off").form == "converted"
    assert decided_for(IN_INT8, packed_weights="off").choices[1].why == "engine.packed_weights"
    without = decided_for(packed_weights="off")
    assert (without.form, without.choices[0].value) == (None, "float32")  # vLLM's own layers, then


@pytest.mark.parametrize(
    "given",
    [
        {"device": "cuda"},
        {"flags": set()},
        {"dtype": "float32"},
        {"model": EXPERTS},
        {"model": FLOAT32_SENTENCES},
        {"quantization": "fp8"},
        {"model": replace(SMOLLM2, config={"quantization_config": {"quant_method": "gptq", "bits": 4}})},
    ],
)
def test_elsewhere_layers_are_vllms_and_packed_weights_are_refused(given: Any):
    found = decided_for(**given)
    assert (found.form, found.extra, len(found.choices)) == (None, 0, 1)
    assert decided_for(**given, packed_weights="off").form is None
    with pytest.raises(StartupError, match="is for a CPU with avx2, and for weights of 16 bits or INT8"):
        decided_for(**given, packed_weights="on")


def test_a_cpu_that_is_made_for_narrow_numbers_has_none_by_itself():
    for asked in ("auto", "off"):
        assert decided_for(flags=SKYLAKE, packed_weights=asked).form is None


def test_a_cpu_with_both_instructions_and_no_amx_gets_blocks():
    found = decided_for(flags=GENOA)
    assert (found.form, found.extra, found.choices[0].value) == ("sgl", 0, "bfloat16")
    assert found.choices[1].value == "weights in blocks, for SGLang's kernels"
    assert found.choices[1].why.startswith("this CPU has avx512_bf16 and avx512_vnni, ")
    assert decided_for(EXPERTS, flags=GENOA).form == "sgl"  # what is not in its experts
    assert decided_for(IN_INT8, flags=GENOA).form == "sgl"


@pytest.mark.parametrize(
    "given",
    [
        {"flags": GENOA | {"amx_tile"}},
        {"flags": GENOA - {"avx512_bf16"}},
        {"flags": GENOA - {"avx512_vnni"}},
        {"device": "cuda"},
        {"dtype": "float16"},
        {"quantization": "fp8"},
        {"sgl_kernels": False},
    ],
)
def test_blocks_are_for_no_others(given: dict[str, Any]):
    assert decided_for(**{"flags": GENOA, **given}).form is None


def test_int8_is_vllms_where_a_cpu_multiplies_it():
    found = decided_for(IN_INT8, flags={"avx2", "avx_vnni"})
    assert (found.form, found.choices[0].value) == (None, "bfloat16")
    assert decided_for(SMOLLM2, flags={"avx2", "avx_vnni"}).form == "packed"


def test_float32_that_leaves_no_room_for_the_cache_is_not_chosen():
    needed = 2 * SMOLLM2.weight_bytes + RUNTIME_BYTES
    asked = {
        "max_model_len": 8192,
        "memory": needed + 300 * (1 << 20),
    }  # 180 MiB of KV cache in bfloat16, 360 in float32
    found = decided_for(**asked)
    assert (found.form, found.choices[0].value) == ("packed", "bfloat16")
    assert decided_for(**asked | {"memory": needed + 500 * (1 << 20)}).choices[0].value == "float32"
