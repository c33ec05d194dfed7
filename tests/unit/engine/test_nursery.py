"""The fork server that engines come from; with a room that is empty, so that nothing heavy is imported."""

import os
import signal
from collections.abc import Iterator
from multiprocessing import popen_forkserver
from typing import Any

import psutil
import pytest
from fathom.engine import nursery
from fathom.engine.nursery import NurseryContext
from fathom.settings import EngineSettings

from tests.running import until
from tests.unit.engine.nursery_child import tell


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(nursery, "_ROOM", "fathom.engine.nursery")
    yield
    if found := nursery.pid():
        os.kill(found, signal.SIGKILL)
        until(lambda: psutil.Process(found).status() == psutil.STATUS_ZOMBIE, "the nursery ends")


def child() -> tuple[int, str | None]:
    """The parent of one, and what it finds in its environment."""
    context = NurseryContext()
    here, there = context.Pipe()
    process = context.Process(target=tell, args=(there,))
    process.start()
    assert here.poll(100)
    process.join(10)
    assert process.exitcode == 0
    found: tuple[int, str | None] = here.recv()
    return found


def test_it_is_for_a_cpu_unless_a_setting_says_otherwise():
    auto, on, off = (EngineSettings(nursery=each) for each in ("auto", "on", "off"))
    assert [nursery.wanted(each, "cpu") for each in (auto, on, off)] == [True, True, False]
    assert [nursery.wanted(each, "cuda") for each in (auto, on, off)] == [False, True, False]


@pytest.mark.slow
def test_a_child_comes_from_it_with_the_environment_as_it_is_now(monkeypatch):
    nursery.begin()
    monkeypatch.setenv("FATHOM_TOLD", "later")
    assert child() == (nursery.pid(), "later")


@pytest.mark.slow
def test_one_that_died_is_followed_by_another():
    nursery.begin()
    first = nursery.pid()
    os.kill(first, signal.SIGKILL)
    until(lambda: psutil.Process(first).status() == psutil.STATUS_ZOMBIE, "it ends")
    parent, _ = child()
    assert parent == nursery.pid() != first


@pytest.mark.slow
def test_without_one_that_works_a_child_is_spawned(monkeypatch):
    def fail(_process: Any) -> None:
        raise EOFError

    monkeypatch.setattr(popen_forkserver, "Popen", fail)
    assert child()[0] == os.getpid()


@pytest.mark.slow
def test_the_exit_of_a_child_is_told_by_its_signal():
    nursery.begin()
    process = NurseryContext().Process(target=signal.pause)
    process.start()
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.slow
def test_one_that_hangs_is_ended_and_the_child_is_spawned(monkeypatch):
    monkeypatch.setattr(nursery, "_PATIENCE", 0.5)
    nursery.begin()
    os.kill(nursery.pid(), signal.SIGSTOP)
    assert child()[0] == os.getpid()
