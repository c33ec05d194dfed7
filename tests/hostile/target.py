"""A server under abuse: what it is asked, and what must be the same afterwards."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import psutil

from tests.hostile.canary import Canary
from tests.hostile.score import TOTAL, Score
from tests.running import Server

Json = dict[str, Any]

_PATIENCE = 60.0  # seconds for one group, far more than any takes: what is over it hangs
_SETTLE = 20.0


@dataclass
class Target:
    """dialects: path of each route that takes a body, with the least body that it answers with 200. most_growth: bytes
    that the API process may hold more at the end than after a first round of everything."""

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
        """Nothing is left behind: no descriptor, and no more memory than a first round takes."""
        files, memory = self._held
        if not _comes(lambda: self._holds()[0] <= files + 2):
            TOTAL.leaks.append(f"{self._holds()[0]} descriptors are open, and {files} were")
        if (more := self._holds()[1] - memory) > self.most_growth:
            TOTAL.leaks.append(f"the API process holds {more >> 20} MiB more")
        assert not TOTAL.leaks, TOTAL.leaks

    def _look(self, group: str, score: Score) -> None:
        ready = self.server.client.get("/readyz").status_code
        if ready != 200:
            score.crashes.append(f"{group}: /readyz is {ready}")
        if gone := [each for each in self._engine if not each.is_running()]:
            score.crashes.append(f"{group}: a process of the engine is gone: {gone}")

    def _holds(self) -> tuple[int, int]:
        return self.api.num_fds(), self.api.memory_info().rss


def _comes(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _SETTLE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
