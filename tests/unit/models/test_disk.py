import threading
from pathlib import Path

import pytest
from fathom.core.errors import StartupError
from fathom.models import disk
from filelock import FileLock


def test_a_built_folder_appears_with_all_that_was_put_in(tmp_path: Path) -> None:
    with disk.building(tmp_path / "model") as partial:
        (partial / "below").mkdir()
        (partial / "below" / "weights").write_bytes(b"1")
        assert not (tmp_path / "model").exists()
    assert (tmp_path / "model/below/weights").read_bytes() == b"1"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_whose_building_failed_leaves_nothing(tmp_path: Path) -> None:
    def fail(partial: Path) -> None:
        (partial / "weights").write_bytes(b"1")
        raise ValueError("broken")

    with pytest.raises(ValueError, match=r"broken"), disk.building(tmp_path / "model") as partial:
        fail(partial)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_killed_runs_are_removed_and_finished_folders_stay(tmp_path: Path) -> None:
    (tmp_path / "gguf/.partial-1234").mkdir(parents=True)
    (tmp_path / "gguf/done").mkdir()
    with disk.exclusive(tmp_path / "gguf", threading.Event()):
        assert [path.name for path in (tmp_path / "gguf").iterdir()] == ["done"]


def test_a_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with disk.exclusive(tmp_path / "gguf", threading.Event()):
            order.append("second")

    with disk.exclusive(tmp_path / "gguf", threading.Event()):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.2)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]


def test_a_wait_for_another_writer_can_be_cancelled(tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with (
        FileLock(tmp_path / ".gguf.lock"),
        pytest.raises(StartupError, match=r"stopped"),
        disk.exclusive(tmp_path / "gguf", cancel),
    ):
        pass


def test_a_home_that_cannot_be_written_is_named_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with (
        pytest.raises(StartupError, match=r"cannot write to .*home/gguf .*: set FATHOM_HOME"),
        disk.exclusive(tmp_path / "home/gguf", threading.Event()),
    ):
        pass


def test_the_size_of_a_folder_is_that_of_its_files_without_links(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below/a").write_bytes(bytes(5000))
    (tmp_path / "b").symlink_to(tmp_path / "below/a")
    assert disk.size(tmp_path) == 5000


def test_a_file_that_is_stretched_but_empty_counts_for_what_it_holds(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10_000_000)
    assert disk.size(tmp_path) < 10_000_000


def test_the_size_of_a_folder_that_does_not_exist_is_nothing(tmp_path: Path) -> None:
    assert disk.size(tmp_path / "none") == 0
