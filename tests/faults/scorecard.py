"""What a run of the fault tests has come to, in figures."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

import pytest

from tests.faults.batch import Batch, Expected
from tests.faults.losses import Fault, Outage

OTHERS = {
    "test_crash": "server killed",
    "test_drain": "server asked to end",
    "test_failing_store": "store that fails at each place",
    "test_full_disk": "disk full",
    "test_postgresql_away": "PostgreSQL away",
    "test_vanished_client": "client vanished",
    "test_starts": "start that must fail",
}
"""Tests of other faults, by their modules."""


@dataclass
class Scorecard:
    """seed: of all that is left to chance. faults: tried, by kind. disturbed: requests that were in the engine when it
    was lost. pauses: seconds from the fault to a stream's next token, by the signal."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    disturbed: int = 0
    lost: int = 0
    wrong: int = 0
    greedy_differ: int = 0
    seeded_differ: int = 0
    pauses: dict[str, list[float]] = field(default_factory=dict)
    cold_starts: list[float] = field(default_factory=list)

    def add(self, fault: Fault, batch: Batch, expected: Expected, outage: Outage, disturbed: int) -> None:
        """What has become of requests, `disturbed` of which were in the engine when it was lost."""
        self.faults[str(fault)] += 1
        self.asked += len(batch.all)
        self.disturbed += disturbed
        self.lost += sum(bool(each.lost) for each in batch.all)
        self.wrong += sum(bool(each.wrong) for each in batch.all)
        for each in batch.all:
            differs = bool(each.difference(expected))
            self.greedy_differ += differs and each.request.greedy
            self.seeded_differ += differs and not each.request.greedy
        pauses = self.pauses.setdefault(fault.signal.name, [])
        pauses += [seconds for each in batch.all if (seconds := each.pause(outage)) is not None]

    def lines(self, passed: Iterable[str], failed: Iterable[str]) -> list[str]:
        """`passed` and `failed`: the modules of the tests that did, once for each test."""
        rows = [
            ("FAULTS_SEED", str(self.seed)),
            ("faults", ", ".join(f"{kind} {many}" for kind, many in sorted(self.faults.items()))),
            ("requests", f"{self.asked}, of which {self.disturbed} were in the engine when it was lost"),
            ("lost", str(self.lost)),
            ("wrong endings", str(self.wrong)),
            ("answers that differ", f"{self.greedy_differ} greedy, {self.seeded_differ} seeded"),
            *((f"{what} to next token", _seconds(pauses)) for what, pauses in sorted(self.pauses.items())),
            ("cold start", _seconds(self.cold_starts)),
        ]
        shown = [row for row in rows if self.faults] + _others(Counter(passed), Counter(failed))
        return [f"{name:<26}{text}" for name, text in shown]


CARD = pytest.StashKey[Scorecard]()
"""Where pytest's config keeps the one of this run."""


def _others(passed: Counter[str], failed: Counter[str]) -> list[tuple[str, str]]:
    tried = {module: passed[module] + failed[module] for module in OTHERS}
    return [(OTHERS[module], f"{passed[module]} of {many} held") for module, many in tried.items() if many]


def _seconds(times: list[float]) -> str:
    return f"median {median(times):.1f} s, worst {max(times):.1f} s ({len(times)})" if times else "none"
