from pathlib import Path

import pytest
from fathom.core.errors import StartupError
from fathom.models import gguf_header

from tests.unit.cli.test_plan import gguf


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(gguf())
    return path


def test_metadata_has_the_names_of_a_config(file: Path) -> None:
    assert gguf_header.read(file).config == {
        "model_type": "llama",
        "dtype": "bfloat16",
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "max_position_embeddings": 2048,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }


def test_tensors_are_as_large_as_they_become(file: Path) -> None:
    embedding, norm = gguf_header.read(file).tensors
    assert (embedding.name, embedding.shape, embedding.bytes) == ("token_embd.weight", (64, 100), 12_800)
    assert (norm.name, norm.bytes) == ("output_norm.weight", 128)


@pytest.mark.parametrize("kept", [0, 4, 23, 100, 2000])
def test_a_file_that_is_cut_short_is_one_line(file: Path, kept: int) -> None:
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(StartupError, match=r"tiny.gguf is not a GGUF file of version 2 or 3, or is damaged"):
        gguf_header.read(file)
