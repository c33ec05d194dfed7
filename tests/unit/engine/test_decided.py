from pathlib import Path
from typing import Any

import pytest
from fathom.core.errors import StartupError
from fathom.engine import decided, loading, machine
from fathom.models.facts import ModelFacts
from fathom.models.fetch import PreparedModel
from fathom.settings import EngineSettings, Settings, load

ZEN3, ICE_LAKE, SAPPHIRE_RAPIDS = {"avx2"}, {"avx2", "avx512_vnni"}, {"avx2", "avx512_vnni", "amx_int8"}


def decide(flags: set[str] = ICE_LAKE, device: str = "cpu", **settings: Any) -> tuple[str, str]:
    choice = decided.embedded_weights(EngineSettings(**settings), device, flags)
    return choice.value, choice.why


@pytest.mark.parametrize(
    ("flags", "named"), [(ICE_LAKE, "avx512_vnni"), (SAPPHIRE_RAPIDS, "amx_int8"), ({"avx_vnni"}, "avx_vnni")]
)
def test_a_cpu_that_multiplies_8_bit_integers_gets_int8_and_the_reason_names_what_it_has(
    flags: set[str], named: str
) -> None:
    value, why = decide(flags)
    assert value == "int8"
    assert named in why


def test_a_cpu_without_keeps_the_original_and_the_reason_names_what_it_lacks() -> None:
    value, why = decide(ZEN3)
    assert value == "original"
    assert "none of amx_int8, avx512_vnni, avx_vnni, and gains nothing" in why


def test_int8_can_be_forced_on_any_machine() -> None:
    assert decide(ZEN3, dtype="int8") == ("int8", "engine.dtype")
    assert decide(ZEN3, device="cuda", dtype="int8")[0] == "int8"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"dtype": "bfloat16"}, "engine.dtype is bfloat16"),
        ({"quantization": "fp8"}, "engine.quantization is fp8"),
        ({"lora": {"poet": "/p"}}, "LoRA adapters were made for it"),
        ({"device": "cuda"}, "a GPU has room for it"),
    ],
)
def test_what_the_user_says_or_a_gpu_keeps_the_original(settings: dict[str, Any], reason: str) -> None:
    assert decide(**settings) == ("original", reason)


def test_vllm_is_not_told_of_int8() -> None:
    assert decided.for_vllm(EngineSettings(dtype="int8")).dtype == "auto"
    assert decided.for_vllm(EngineSettings(dtype="float16")).dtype == "float16"


def test_int8_for_another_model_is_refused_with_the_way_to_it() -> None:
    with pytest.raises(StartupError, match=r"run `fathom quantize qwen3-8b --scheme int8`"):
        decided.refuse_int8(EngineSettings(dtype="int8"), "qwen3-8b")
    decided.refuse_int8(EngineSettings(dtype="bfloat16"), "qwen3-8b")


ORIGINAL = PreparedModel("m", Path("/m"), "a test", ModelFacts((), "", "", 0, "", None, 0, 0, False, None, {}))


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with VNNI on which nothing can be quantized."""

    def fail(*_: Any) -> PreparedModel:
        raise StartupError("no space")

    monkeypatch.setattr(machine, "cpu_flags", lambda: ICE_LAKE)
    monkeypatch.setattr(loading, "prepare", lambda *_, **__: ORIGINAL)
    monkeypatch.setattr(loading, "in_int8", fail)


def prepare(settings: Settings) -> PreparedModel:
    return loading._prepare(settings, "cpu", lambda *_: None, loading.threading.Event())


@pytest.mark.usefixtures("failing")
def test_where_int8_was_not_asked_for_a_start_does_not_fail_for_it() -> None:
    assert prepare(load()) is ORIGINAL


@pytest.mark.usefixtures("failing")
def test_where_it_was_asked_for_the_start_fails() -> None:
    with pytest.raises(StartupError, match="no space"):
        prepare(load({"engine.dtype": "int8"}))


def test_the_card_tells_of_a_quantized_model() -> None:
    facts = ModelFacts((), "", "", 0, "", None, 0, 0, False, None, {"quantization_config": {"format": "int-quantized"}})
    assert loading._dtype(facts, "bfloat16") == "int8 (bfloat16 model)"
    assert loading._dtype(ORIGINAL.facts, "bfloat16") == "bfloat16"
