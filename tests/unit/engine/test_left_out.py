"""What the API process does without, and that the engine has it."""

import json
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from fathom.engine import left_out
from vllm.config import ModelConfig, VllmConfig
from vllm.engine.arg_utils import AsyncEngineArgs

WEIGHTS = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True, "dynamic": False}
INPUTS = {"num_bits": 8, "type": "int", "strategy": "token", "symmetric": True, "dynamic": True}
INT8 = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "quantization_status": "compressed",
    "config_groups": {"group_0": {"targets": ["Linear"], "weights": WEIGHTS, "input_activations": INPUTS}},
    "ignore": ["lm_head"],
}
FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic"}


@pytest.mark.parametrize(
    ("args", "missing"),
    [({}, True), ({"otlp_traces_endpoint": None}, True), ({"otlp_traces_endpoint": "http://127.0.0.1:4317"}, False)],
)
def test_tracing_is_there_for_who_asks_for_it(
    args: dict[str, Any], missing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry.exporter")]:
        monkeypatch.delitem(sys.modules, name)
    left_out.leave_out_tracing(args)
    try:
        if missing:
            with pytest.raises(ImportError):  # what vLLM catches
                import_module(left_out._TRACING)
        else:
            assert import_module(left_out._TRACING)
    finally:
        sys.modules.pop(left_out._TRACING, None)


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """vLLM writes into it as it makes a config."""
    with patch.dict(os.environ):
        yield


@pytest.fixture
def api_process(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """vLLM's config as the API process makes it; called, as the engine does."""
    for of, name in ((ModelConfig, "_verify_quantization"), (VllmConfig, "_get_quantization_config")):
        monkeypatch.setattr(of, name, of.__dict__[name])
    left_out.leave_out_quantization.__wrapped__()
    return monkeypatch.undo


def config(folder: Path, written: dict[str, Any] | None, **args: Any) -> VllmConfig:
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2}
    of = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 100, **shape}
    (folder / "config.json").write_text(json.dumps(of | ({"quantization_config": written} if written else {})))
    return AsyncEngineArgs(
        model=str(folder), skip_tokenizer_init=True, dtype="bfloat16", enforce_eager=True, max_model_len=64, **args
    ).create_engine_config()


def test_int8_is_read_by_the_engine(tmp_path: Path, api_process: Callable[[], None]) -> None:
    made = config(tmp_path, INT8)
    assert made.model_config.quantization == "compressed-tensors"
    assert type(made.quant_config) is left_out.Later
    arrived = pickle.loads(pickle.dumps(made))
    api_process()
    whole = config(tmp_path, INT8).quant_config
    assert type(arrived.quant_config.read()) is type(whole)
    assert arrived.quant_config.read().target_scheme_map == whole.target_scheme_map


def test_what_was_asked_for_still_has_to_match(tmp_path: Path, api_process: Callable[[], None]) -> None:
    with pytest.raises(ValueError, match="does not match"):
        config(tmp_path, INT8, quantization="fp8")


def test_other_checkpoints_are_read_at_once(tmp_path: Path, api_process: Callable[[], None]) -> None:
    assert config(tmp_path, None).quant_config is None
    assert config(tmp_path, FP8).quant_config.get_name() == "fp8"
