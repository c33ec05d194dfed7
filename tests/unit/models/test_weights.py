import json
from pathlib import Path

import pytest
from fathom.core.errors import StartupError
from fathom.models import weights
from fathom.models.weights import Weights

from tests.unit.models.conftest import safetensors


def test_bytes_and_type_come_from_the_headers(tmp_path: Path) -> None:
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(safetensors(64, "F32"))
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(safetensors(256, "BF16"))
    assert weights.read(tmp_path) == Weights(bytes=320, dtype="BF16")


def test_the_index_decides_which_files_count(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(safetensors(64))
    (tmp_path / "b.safetensors").write_bytes(safetensors(128))
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"weight": "a.safetensors"}}))
    assert weights.read(tmp_path).bytes == 64


def test_the_same_weights_in_a_second_layout_do_not_count_twice(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(safetensors(64))
    (tmp_path / "consolidated.safetensors").write_bytes(safetensors(64))
    assert weights.read(tmp_path).bytes == 64


def test_a_shard_that_the_index_names_and_the_folder_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(safetensors())
    shards = {"x": "a.safetensors", "y": "b.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(StartupError, match=r"lacks 1 of 2 weight files \(b.safetensors\)"):
        weights.read(tmp_path)


@pytest.mark.parametrize("index", ["{", "[]", "{}", '{"weight_map": []}'])
def test_a_broken_index_is_named(tmp_path: Path, index: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(StartupError, match=r"index.json is not an index of safetensors files"):
        weights.read(tmp_path)


def test_a_folder_with_pickles_alone_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(StartupError, match=r"only pickled weights \(pytorch_model.bin\), which can run any code"):
        weights.read(tmp_path)


def test_a_folder_with_a_gguf_file_alone_says_to_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    with pytest.raises(StartupError, match=r"to serve its GGUF file, name the file itself"):
        weights.read(tmp_path)


def test_a_folder_without_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"has no safetensors weights"):
        weights.read(tmp_path)


def test_a_file_that_is_cut_short_tells_how_much_is_there(tmp_path: Path) -> None:
    whole = safetensors(64)
    (tmp_path / "model.safetensors").write_bytes(whole[:-10])
    with pytest.raises(StartupError, match=rf"is cut short: {len(whole) - 10} of {len(whole)} bytes"):
        weights.read(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"abc", b"\xff" * 16, b"\x10" + bytes(7) + b"not json at all!", b"\x02" + bytes(7) + b"[]"],
    ids=["empty", "shorter than a length", "absurd length", "no JSON", "no object"],
)
def test_a_damaged_header_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(StartupError, match=r"model.safetensors (is not a safetensors file|has a damaged)"):
        weights.read(tmp_path)


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\x02" + bytes(7) + b"{}")
    with pytest.raises(StartupError, match=r"without a single tensor"):
        weights.read(tmp_path)
