"""How a server's engine gets lost, and what can be seen of the server until it has another."""

import random
import signal
import threading
import time
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.running import Server, gone, until

PROCESSES = ("EngineCore",)  # its worker is in it, and the nursery has its test in tests/engine/test_life.py
SECONDS_TO_RETURN = 200.0  # that a start may take on a busy machine


@dataclass(frozen=True)
class Fault:
    """A signal to one of the engine's processes."""

    process: str
    signal: signal.Signals

    @property
    def reason(self) -> str:
        """What the server calls it."""
        return "died" if self.signal is signal.SIGKILL else "hung"

    def __str__(self) -> str:
        return f"{self.process} {'killed' if self.reason == 'died' else 'stopped'}"


KILLS = [Fault(process, signal.SIGKILL) for process in PROCESSES]
HANGS = [Fault(process, signal.SIGSTOP) for process in PROCESSES]


def faults(rounds: int, chance: random.Random) -> list[Fault]:
    """Two kills for each hang."""
    found: list[Fault] = []
    while len(found) < rounds:
        found += [chance.choice(KILLS), chance.choice(HANGS), chance.choice(KILLS)]
    return found[:rounds]


def engine_of(server: Server) -> dict[str, psutil.Process]:
    """Its processes by their names; there is one of each, or none."""
    found: dict[str, psutil.Process] = {}
    for child in psutil.Process(server.process.pid).children(recursive=True):
        name = next((name for name in PROCESSES if name in child.name()), None)
        if name and not gone([child]):
            assert name not in found, f"a second {name}"
            found[name] = child
    return found


class Outage:
    """Begins one, and looks at the server until it is over.

    struck, noticed, over: when (monotonic): the signal, /readyz saying so, and /readyz being 200 again. phases: what it
    was in between. lived: /livez was always 200.
    """

    def __init__(self, server: Server, fault: Fault) -> None:
        self._server = server
        self.noticed = self.over = 0.0
        self.lived, self.phases = True, set[str]()
        self.lost = engine_of(server)
        assert self.lost.keys() == set(PROCESSES)
        self.lost[fault.process].send_signal(fault.signal)
        self.struck = time.monotonic()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def until_noticed(self) -> None:
        until(lambda: self.noticed, "/readyz is 503", 60)

    def until_over(self) -> None:
        self._thread.join(SECONDS_TO_RETURN)
        assert self.over, f"the engine is not back within {SECONDS_TO_RETURN:.0f} s"
        assert gone(list(self.lost.values())), "the lost engine has left processes behind"

    def _watch(self) -> None:
        with httpx.Client(base_url=self._server.url, timeout=30) as client:
            while self._server.process.poll() is None and not self.over:
                try:
                    self._look(client)
                except httpx.TransportError:  # the server ends
                    return
                time.sleep(0.05)

    def _look(self, client: httpx.Client) -> None:
        self.lived &= client.get("/livez").status_code == 200
        state = client.get("/readyz")
        if state.status_code == 503:
            self.noticed = self.noticed or time.monotonic()
            self.phases.add(state.json()["phase"])
        elif self.noticed:
            self.over = time.monotonic()


class Metrics:
    """What /metrics says at one moment."""

    def __init__(self, client: httpx.Client) -> None:
        families = text_string_to_metric_families(client.get("/metrics").text)
        self._samples = [sample for family in families for sample in family.samples]

    def __call__(self, name: str, **labels: Any) -> float:
        """The sum of all that have these labels."""
        found = [each for each in self._samples if each.name == name and labels.items() <= each.labels.items()]
        return sum(each.value for each in found)
