"""Downloads from a fake hub on loopback, through the library's own endpoint setting. The real hub is not reached."""

import threading
from pathlib import Path

import pytest
from fathom.core.engine import Phase
from fathom.core.errors import StartupError
from fathom.models import hub as hub_files
from fathom.models.source import Hub

from tests.unit.models.conftest import Recorder, model_files, silent
from tests.unit.models.fake_hub import FakeHub, Repository

pytestmark = pytest.mark.slow

LLAMA = Hub("org/llama", None, "org/llama")


def fetch(source: Hub, cache: Path, *, code: bool = False, refresh: bool = False) -> Path:
    return hub_files.prepare(source, cache, silent, threading.Event(), code=code, refresh=refresh)


def test_a_repository_is_downloaded_with_every_file_that_serving_needs(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/llama"] = Repository(model_files())
    folder = fetch(LLAMA, tmp_path / "hub")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == model_files()


def test_progress_ends_at_the_whole_download(hub: FakeHub, tmp_path: Path, progress: Recorder) -> None:
    hub.repositories["org/llama"] = Repository(model_files())
    hub_files.prepare(LLAMA, tmp_path / "hub", progress, threading.Event(), code=False, refresh=False)
    shares = progress.shares(Phase.DOWNLOADING)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_named_revision_is_the_one_that_is_downloaded(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/llama"] = Repository(model_files(), commit="b" * 40, branches=("main", "v2"))
    folder = fetch(Hub("org/llama", "v2", "org/llama"), tmp_path / "hub")
    assert folder.name == "b" * 40
    assert any(request.path == "/api/models/org/llama/revision/v2" for request in hub.requests)


def test_a_connection_that_is_cut_half_way_goes_on_where_it_stopped(hub: FakeHub, tmp_path: Path) -> None:
    weights = model_files()["model.safetensors"] + bytes(25_000_000)  # the library takes pieces of 10 MiB
    hub.repositories["org/llama"] = Repository(model_files() | {"model.safetensors": weights})
    hub.cut.add("model.safetensors")
    folder = fetch(LLAMA, tmp_path / "hub")
    assert (folder / "model.safetensors").read_bytes() == weights
    assert [request.range for request in hub.downloads("model.safetensors")] == [None, f"bytes={10 << 20}-"]


def test_what_is_complete_on_disk_needs_no_network(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/llama"] = Repository(model_files())
    folder = fetch(LLAMA, tmp_path / "hub")
    hub.requests.clear()
    assert fetch(LLAMA, tmp_path / "hub") == folder
    assert hub.requests == []


def test_what_is_incomplete_on_disk_is_completed_without_fetching_the_rest_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/llama"] = Repository(model_files())
    folder = fetch(LLAMA, tmp_path / "hub")
    (folder / "model.safetensors").resolve().unlink()
    hub.requests.clear()
    fetch(LLAMA, tmp_path / "hub")
    assert len(hub.downloads("model.safetensors")) == 1
    assert hub.downloads("tokenizer.json") == []


def test_a_refresh_takes_the_newer_commit(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/llama"] = Repository(model_files())
    fetch(LLAMA, tmp_path / "hub")
    hub.repositories["org/llama"] = Repository(model_files(max_position_embeddings=1), commit="c" * 40)
    assert fetch(LLAMA, tmp_path / "hub").name == "a" * 40
    assert fetch(LLAMA, tmp_path / "hub", refresh=True).name == "c" * 40


def test_the_token_of_the_environment_is_sent(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["org/llama"] = Repository(model_files(), token="hf_secret")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch(LLAMA, tmp_path / "hub")
    assert {request.authorization for request in hub.requests} == {"Bearer hf_secret"}


def test_without_a_token_no_authorization_is_sent(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/llama"] = Repository(model_files())
    fetch(LLAMA, tmp_path / "hub")
    assert {request.authorization for request in hub.requests} == {None}


def test_a_gated_repository_says_how_to_get_in(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/llama"] = Repository(model_files(), gated=True)
    with pytest.raises(StartupError, match=r"org/llama is gated: accept its licence .* set HF_TOKEN"):
        fetch(LLAMA, tmp_path / "hub")


def test_a_repository_that_does_not_exist_is_named(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"the hub shows no model 'org/llama': check the spelling"):
        fetch(LLAMA, tmp_path / "hub")


def test_a_revision_that_does_not_exist_is_named(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/llama"] = Repository(model_files())
    with pytest.raises(StartupError, match=r"org/llama has no revision 'v9'"):
        fetch(Hub("org/llama", "v9", "org/llama"), tmp_path / "hub")


def test_a_hub_that_cannot_be_reached_is_named_with_the_ways_out(hub: FakeHub, tmp_path: Path) -> None:
    hub.stop()
    with pytest.raises(StartupError, match=rf"cannot reach the hub at {hub.url} for org/llama: check the network"):
        fetch(LLAMA, tmp_path / "hub")


def test_the_librarys_offline_switch_is_honoured(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["org/llama"] = Repository(model_files())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(StartupError, match=r"not on disk and HF_HUB_OFFLINE forbids"):
        fetch(LLAMA, tmp_path / "hub")
    assert hub.requests == []


def test_nothing_is_asked_of_the_hub_but_the_model(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/llama"] = Repository(model_files())
    fetch(LLAMA, tmp_path / "hub")
    assert all("org/llama" in request.path for request in hub.requests)


def test_pickled_weights_are_refused_before_anything_is_downloaded(hub: FakeHub, tmp_path: Path) -> None:
    files = model_files() | {"pytorch_model.bin": b"pickle"}
    del files["model.safetensors"]
    hub.repositories["org/llama"] = Repository(files)
    with pytest.raises(StartupError, match=r"only pickled weights \(pytorch_model.bin\), which can run any code"):
        fetch(LLAMA, tmp_path / "hub")
    assert not any("/resolve/" in request.path for request in hub.requests)


def test_what_a_killed_download_left_is_removed(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/llama"] = Repository(model_files())
    leftover = tmp_path / "hub/models--org--llama/blobs/1234.incomplete"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    fetch(LLAMA, tmp_path / "hub")
    assert not leftover.exists()


def test_a_download_larger_than_the_disk_is_refused(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["org/llama"] = Repository(model_files())
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 10}))
    with pytest.raises(StartupError, match=r"not enough disk space"):
        fetch(LLAMA, tmp_path / "hub")


def test_code_is_fetched_only_when_it_is_trusted(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/llama"] = Repository(model_files() | {"modeling.py": b"print()"})
    assert not (fetch(LLAMA, tmp_path / "hub") / "modeling.py").exists()
    assert (fetch(LLAMA, tmp_path / "hub", code=True) / "modeling.py").exists()


def test_pickles_beside_safetensors_and_weights_in_other_formats_are_left_out() -> None:
    names = ["config.json", "model.safetensors", "pytorch_model.bin", "original/model.safetensors", "README.md"]
    assert hub_files.select(names, "org/llama", code=False) == ["config.json", "model.safetensors"]


def test_weights_are_not_taken_twice_from_a_repository_that_has_them_in_two_layouts() -> None:
    names = ["consolidated.safetensors", "model-00001-of-00001.safetensors", "model.safetensors.index.json"]
    assert hub_files.select(names, "org/mistral", code=False) == names[1:]


def test_the_modules_of_a_sentence_encoder_are_taken() -> None:
    modules = ["modules.json", "1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"]
    names = ["config.json", "model.safetensors", *modules, "2_Dense/pytorch_model.bin", "onnx/model.onnx"]
    assert hub_files.select(iter(names), "org/encoder", code=False) == names[:6]


def test_a_repository_without_weights_is_refused() -> None:
    with pytest.raises(StartupError, match=r"org/data has no safetensors weights"):
        hub_files.select(["config.json"], "org/data", code=False)
