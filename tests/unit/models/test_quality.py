from pathlib import Path

import pytest
import torch
from fathom.core.errors import StartupError
from fathom.models import quality, quantization
from fathom.models.schemes import INT8

from tests.unit.models.tiny_model import write_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def test_activations_are_rounded_token_by_token() -> None:
    tokens = torch.tensor([[127.0, 0.4, -1.6], [1.27, 0.004, -0.016]])
    assert torch.allclose(quality.in_int8(tokens), torch.tensor([[127.0, 0.0, -2.0], [1.27, 0.0, -0.02]]), atol=1e-5)


def test_activations_in_fp8_keep_three_bits_behind_the_first() -> None:
    tokens = torch.tensor([[448.0, 17.0, -1.0625]])
    assert quality.in_fp8(tokens).tolist() == [[448.0, 16.0, -1.0]]


def test_a_token_of_zeros_stays_one() -> None:
    assert quality.in_int8(torch.zeros(1, 3)).tolist() == [[0.0] * 3]
    assert quality.in_fp8(torch.zeros(1, 3)).tolist() == [[0.0] * 3]


def test_the_report_names_its_text_and_both_perplexities(model: Path, tmp_path: Path) -> None:
    quantization.convert(model, tmp_path, INT8)
    report = quality.measure(model, tmp_path, "int8", trust=False)
    assert str(report["text"]).startswith("pydoc_data.topics of Python 3.")
    assert report["tokens"] == quality.PIECE * quality.PIECES
    perplexity = report["perplexity"]
    assert isinstance(perplexity, dict)
    assert 0 < abs(perplexity["quantized"] / perplexity["original"] - 1) < 0.1
    assert 0.8 < float(str(report["greedy_agreement"])) < 1


def test_layers_that_transformers_does_not_have_are_no_report(model: Path, tmp_path: Path) -> None:
    quantization.convert(model, tmp_path, INT8)
    bare = torch.nn.Linear(2, 2)
    with pytest.raises(StartupError, match=r"no linear layer of its own for model.layers"):
        quality._layers(bare, tmp_path)
