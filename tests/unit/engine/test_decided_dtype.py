from collections.abc import Collection
from dataclasses import replace

import pytest
from fathom.core.errors import StartupError
from fathom.engine import decided
from fathom.models.facts import ModelFacts
from fathom.models.memory import GIB
from fathom.settings import EngineSettings

from tests.unit.engine.test_choices import MODEL

OLD, NEW = {"avx2"}, {"avx2", "avx512f", "avx512_bf16"}


def chosen(
    model: ModelFacts = MODEL,
    flags: Collection[str] = OLD,
    device: str = "cpu",
    memory: int = 16 * GIB,
    **settings: str,
) -> tuple[str, str]:
    found = decided.computed_in(EngineSettings.model_validate(settings), model, device, flags, memory)
    return found.value, found.why


def test_a_cpu_that_is_slow_with_16_bits_computes_in_32():
    assert chosen() == ("float32", "this CPU has no avx512f, without which bfloat16 is slow")


def test_other_cpus_and_gpus_follow_the_model():
    assert chosen(flags=NEW) == ("bfloat16", "as the model's config says")
    assert chosen(device="cuda")[0] == "bfloat16"


def test_what_the_user_says_counts():
    assert chosen(dtype="bfloat16") == ("bfloat16", "engine.dtype")


def test_weights_that_would_fill_the_memory_stay_as_they_are():
    assert chosen(memory=4 * MODEL.weight_bytes)[0] == "float32"
    assert chosen(memory=4 * MODEL.weight_bytes - 1)[0] == "bfloat16"


def test_quantized_weights_stay_as_they_are():
    assert chosen(replace(MODEL, weight_dtype="I8"))[0] == "bfloat16"
    assert chosen(replace(MODEL, config={"quantization_config": {"format": "int-quantized"}}))[0] == "bfloat16"


def test_vllm_is_told_what_it_would_not_choose_itself():
    asked = EngineSettings()
    old, new = (decided.computed_in(asked, MODEL, "cpu", flags, 16 * GIB) for flags in (OLD, NEW))
    assert decided.settled(asked, old).dtype == "float32"
    assert decided.settled(asked, new) == asked


def test_an_unknown_type_is_refused():
    with pytest.raises(StartupError, match="dtype 'int3' is unknown"):
        chosen(dtype="int3")
