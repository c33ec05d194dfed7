from pathlib import Path

import pytest
from fathom.core.errors import StartupError
from fathom.models.source import Embedded, Folder, GgufFile, Hub, parse


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("typed", [None, "", "smollm2-135m", "SmolLM2-135M"])
def test_nothing_and_the_default_alias_are_the_embedded_model(typed: str | None) -> None:
    assert parse(typed) == Embedded()


def test_an_alias_is_its_repository_and_keeps_its_name() -> None:
    assert parse("qwen3-8b") == Hub("Qwen/Qwen3-8B", None, "qwen3-8b")


def test_an_alias_can_name_a_revision() -> None:
    assert parse("qwen3-8b@v2") == Hub("Qwen/Qwen3-8B", "v2", "qwen3-8b")


def test_an_alias_wins_over_a_folder_of_the_same_name(here: Path) -> None:
    (here / "qwen3-8b").mkdir()
    assert parse("qwen3-8b") == Hub("Qwen/Qwen3-8B", None, "qwen3-8b")
    assert parse("./qwen3-8b") == Folder(here / "qwen3-8b")


def test_a_hub_id_is_a_repository_of_that_name() -> None:
    assert parse("org/model") == Hub("org/model", None, "org/model")


def test_a_hub_id_can_name_a_revision_with_slashes() -> None:
    assert parse("org/model@refs/pr/7") == Hub("org/model", "refs/pr/7", "org/model")


def test_an_existing_folder_is_used_in_place(here: Path) -> None:
    (here / "org" / "model").mkdir(parents=True)
    assert parse("org/model") == Folder(here / "org" / "model")


def test_a_gguf_file_is_told_by_its_ending(here: Path) -> None:
    (here / "tiny.GGUF").write_bytes(b"GGUF")
    assert parse("tiny.GGUF") == GgufFile(here / "tiny.GGUF")


def test_a_gguf_file_that_does_not_exist_says_so() -> None:
    with pytest.raises(StartupError, match=r"^no such file: org/tiny.gguf$"):
        parse("org/tiny.gguf")


@pytest.mark.parametrize("typed", ["/no/such/model", "./model", "../nowhere/model", "~/no-such-model"])
def test_a_path_that_does_not_exist_says_so(typed: str) -> None:
    with pytest.raises(StartupError, match=rf"^no such folder: {typed}$"):
        parse(typed)


def test_a_missing_folder_beside_existing_ones_is_a_path_and_not_a_hub_id(here: Path) -> None:
    (here / "models").mkdir()
    with pytest.raises(StartupError, match=r"^no such folder: models/llama$"):
        parse("models/llama")


def test_a_file_that_is_no_gguf_says_what_to_name(here: Path) -> None:
    (here / "model.safetensors").touch()
    with pytest.raises(StartupError, match=r"model.safetensors is a file: name the model's folder"):
        parse("./model.safetensors")


def test_a_misspelt_alias_gets_the_nearest_one() -> None:
    with pytest.raises(StartupError, match=r"unknown model 'qwen3-8'.* Did you mean 'qwen3-8b'"):
        parse("qwen3-8")


@pytest.mark.parametrize("typed", ["a/b/c", "org/model@", "https://host/org/model", "org/mo--del", "org/.."])
def test_what_is_none_of_these_is_refused_in_one_line(typed: str) -> None:
    with pytest.raises(StartupError) as caught:
        parse(typed)
    assert "\n" not in str(caught.value)
