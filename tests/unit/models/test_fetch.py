from collections.abc import Callable
from pathlib import Path

import pytest
from fathom.core.errors import StartupError
from fathom.models import catalogue
from fathom.models.fetch import prepare, stored

from tests.unit.models.conftest import model_files, silent
from tests.unit.models.fake_hub import FakeHub, Repository


def test_a_folder_is_used_in_place_and_named_after_itself(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_folder()
    prepared = prepare(str(folder), tmp_path / "home", silent)
    assert (prepared.id, prepared.path, prepared.entry) == ("model", folder, None)
    assert prepared.facts.layers == 30
    assert not (tmp_path / "home").exists()


def test_a_broken_folder_is_refused(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_folder()
    (folder / "config.json").unlink()
    with pytest.raises(StartupError, match=r"has no config.json"):
        prepare(str(folder), tmp_path / "home", silent)


def test_an_alias_is_fetched_from_its_repository_and_keeps_its_name(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["Qwen/Qwen3-8B"] = Repository(model_files(model_type="qwen3"))
    prepared = prepare("qwen3-8b", tmp_path / "home", silent)
    assert (prepared.id, prepared.source) == ("qwen3-8b", "Qwen/Qwen3-8B@main")
    assert prepared.entry == catalogue.lookup("qwen3-8b")
    assert prepared.path.is_relative_to(tmp_path / "home/models/hub")


def test_a_second_start_needs_no_hub(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/llama"] = Repository(model_files())
    first = prepare("org/llama", tmp_path / "home", silent)
    hub.stop()
    assert prepare("org/llama", tmp_path / "home", silent) == first


def test_what_is_on_disk_is_listed_by_the_names_that_people_type(tmp_path: Path) -> None:
    for path in ("hub/models--org--llama/blobs", "embedded/smollm2-135m", "gguf/tiny-12345678", "gguf/.partial-1"):
        folder = tmp_path / "models" / path
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(bytes(5000))
    assert stored(tmp_path) == {"smollm2-135m": 5000, "org/llama": 5000, "tiny-12345678": 5000}


def test_what_was_quantized_is_listed_apart(tmp_path: Path) -> None:
    for path in (
        "embedded/smollm2-135m",
        "embedded/smollm2-135m-int8",
        "quantized/qwen3-8b-fp8",
        "quantized/.partial-1",
    ):
        folder = tmp_path / "models" / path
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(bytes(5000))
    assert stored(tmp_path).keys() == {"smollm2-135m", "smollm2-135m (int8)", "quantized/qwen3-8b-fp8"}


def test_nothing_is_on_disk_in_a_new_home(tmp_path: Path) -> None:
    assert stored(tmp_path) == {}
