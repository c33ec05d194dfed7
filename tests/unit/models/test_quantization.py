"""The child's work, in this process: which numbers come out."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from compressed_tensors.quantization import QuantizationArgs, QuantizationConfig, preset_name_to_scheme
from fathom.core.errors import StartupError
from fathom.models import quantization, quantized, weights
from fathom.models.folder import inspect
from fathom.models.projections import is_quantized
from fathom.models.schemes import FP8, INT8, Scheme
from safetensors.torch import load_file

from tests.unit.models.tiny_model import write_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A quantized folder for each scheme."""
    folders = {scheme.name: tmp_path_factory.mktemp(scheme.name) for scheme in (INT8, FP8)}
    for scheme in (INT8, FP8):
        quantization.convert(model, folders[scheme.name], scheme)
    return folders


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for path in weights.files(folder) for name, tensor in load_file(path).items()}


def args(scheme: Scheme) -> QuantizationArgs:
    found = preset_name_to_scheme(scheme.preset, ["Linear"]).weights
    assert found
    return found


def config(folder: Path) -> dict[str, Any]:
    written: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    return written


def test_a_weight_times_its_scale_is_within_half_a_step_of_the_original(model: Path, made: dict[str, Path]) -> None:
    before, after = tensors(model), tensors(made["int8"])
    projections = [name for name in before if is_quantized(name, before[name].shape, INT8)]
    assert len(projections) == 2 * 4
    for name in projections:
        scale = after[f"{name}_scale"]
        assert (after[name].dtype, scale.dtype, scale.shape) == (torch.int8, torch.float32, (len(before[name]), 1))
        assert ((after[name] * scale - before[name].float()).abs() <= scale * 0.5001).all()


def test_a_weight_in_fp8_keeps_three_bits_behind_its_first(model: Path, made: dict[str, Path]) -> None:
    before, after = tensors(model), tensors(made["fp8"])
    name = "model.layers.0.mlp.up_proj.weight"
    scale, exact = after[f"{name}_scale"], before[name].float()
    assert after[name].dtype == torch.float8_e4m3fn
    assert ((after[name].float() * scale - exact).abs() <= exact.abs() / 16 + scale * 2**-10).all()


def test_what_is_no_projection_stays_as_it_is(model: Path, made: dict[str, Path]) -> None:
    before, after = tensors(model), tensors(made["int8"])
    others = [name for name in before if not is_quantized(name, before[name].shape, INT8)]
    assert "model.embed_tokens.weight" in others
    assert all(torch.equal(before[name], after[name]) for name in others)


def test_each_file_becomes_one_and_the_index_says_where_the_scales_are(model: Path, made: dict[str, Path]) -> None:
    names = [path.name for path in weights.files(model)]
    assert len(names) > 1
    assert [path.name for path in weights.files(made["int8"])] == names
    index = json.loads((made["int8"] / weights.INDEX).read_bytes())
    assert index["weight_map"].keys() == tensors(made["int8"]).keys()
    assert index["metadata"]["total_size"] == weights.read(made["int8"]).bytes


def test_the_config_is_read_by_compressed_tensors_and_keeps_what_it_said(model: Path, made: dict[str, Path]) -> None:
    written = config(made["int8"])
    read = QuantizationConfig.model_validate(written.pop("quantization_config"))
    assert read.format == "int-quantized"
    kept = [f"model.layers.{layer}.self_attn.{name}_proj" for layer in (0, 1) for name in "kqv"]
    assert read.ignore == ["lm_head", "model.embed_tokens", *kept]
    assert written == config(model)
    assert config(made["fp8"])["quantization_config"]["format"] == "float-quantized"


def test_the_result_is_a_folder_that_can_be_served(model: Path, made: dict[str, Path]) -> None:
    for path in model.glob("tokenizer*"):
        (made["int8"] / path.name).write_bytes(path.read_bytes())
    facts = inspect(made["int8"])
    assert facts.weight_bytes == quantized.expected_bytes(model, INT8) < inspect(model).weight_bytes


def test_a_row_of_zeros_stays_one() -> None:
    weight, scale = quantization.quantized(torch.zeros(2, 4), args(INT8), "w")
    assert (weight.float() * scale).count_nonzero() == 0
    assert scale.isfinite().all()


def test_a_weight_that_is_not_finite_is_refused_by_name() -> None:
    with pytest.raises(StartupError, match=r"layers.0.w holds values that are not finite"):
        quantization.quantized(torch.tensor([[1.0, float("inf")]]), args(INT8), "layers.0.w")
