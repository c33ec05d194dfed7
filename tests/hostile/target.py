"""A server under abuse: what it is asked, and what must be the same afterwards."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from tests.hostile.canary import Canary
from tests.hostile.score import TOTAL, Score
from tests.running import Server

Json = dict[str, Any]

_PATIENCE = 60.0  # seconds for one group, far more than any takes: what is over it hangs
_SETTLE = 20.0
_ROUNDS = 12
_GROWN = 8 << 20  # bytes in one round


@dataclass
class Target:
    """dialects: path of each route that takes a body, with the least body that it answers with 200. most_growth: bytes
    that the API process may hold more at the end than at first."""

    server: Server
    dialects: dict[str, Json]
    canary: Canary
    most_growth: int = 100 << 20
    _engine: list[psutil.Process] = field(init=False)

    def __post_init__(self) -> None:
        self._engine = [each for each in self.api.children(recursive=True) if each.name().startswith("VLLM")]
        self.take_stock()

    @cached_property
    def api(self) -> psutil.Process:
        return psutil.Process(self.server.process.pid)

    @contextmanager
    def abused(self, group: str, patience: float = _PATIENCE) -> Iterator[Score]:
        """A group of abuse, with the canary beside it. Fails with all that was found."""
        score, began = Score(), time.monotonic()
        with self.canary.beside(score):
            yield score
        if (took := time.monotonic() - began) > patience:
            score.hangs.append(f"{group}: {took:.0f} s in all")
        self._look(group, score)
        TOTAL.add(score)
        assert not score.found, f"{group}:\n" + "\n".join(score.found[:20])

    def take_stock(self) -> None:
        """What it holds now is what it may hold."""
        self._held = self._holds()

    def settles(self) -> None:
        """Nothing is left behind: no descriptor, and little memory."""
        self.closes_all()
        if (more := self._holds()[1] - self._held[1]) > self.most_growth:
            _report([f"the API process holds {more >> 20} MiB more"])

    def closes_all(self) -> None:
        files = self._held[0]
        if not _comes(lambda: self._holds()[0] <= files + 2):
            _report([f"{self._holds()[0]} descriptors are open, and {files} were"])

    def stops_growing(self, abuse: Callable[[], None]) -> None:
        """After one of the rounds, most often the second, the API process holds no more than it once did. How much it
        is depends on how many large requests were in it at once; what leaks grows with each round."""
        most = self._holds()[1]
        grown: list[int] = []
        while len(grown) < _ROUNDS:
            abuse()
            memory = self._holds()[1]
            if (more := memory - most) < _GROWN:
                return
            grown.append(more >> 20)
            most = memory
        _report([f"the API process holds more after each round: {grown} MiB"])

    def _look(self, group: str, score: Score) -> None:
        ready = self.server.client.get("/readyz").status_code
        if ready != 200:
            score.crashes.append(f"{group}: /readyz is {ready}")
        if gone := [each for each in self._engine if not each.is_running()]:
            score.crashes.append(f"{group}: a process of the engine is gone: {gone}")

    def _holds(self) -> tuple[int, int]:
        """Descriptors and bytes. Those of the database are not counted: its readers are opened when they are first
        needed, up to a few."""
        database = sum(Path(each.path).suffix.startswith(".db") for each in self.api.open_files())
        return self.api.num_fds() - database, self.api.memory_info().rss


def _report(leaks: list[str]) -> None:
    TOTAL.leaks += leaks
    assert not leaks, leaks


def _comes(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _SETTLE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
