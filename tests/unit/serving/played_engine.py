"""An engine that makes one token a step for each choice, played by the test."""

from collections import defaultdict

from fathom.core.batch import AHEAD
from fathom.core.events import Finished
from fathom.serving.admission import Entry
from fathom.serving.fair_queue import OUTPUT_WEIGHT, PROMPT_WEIGHT

from tests.rooms import admission
from tests.unit.serving.requests import prepared


class Engine:
    """served: by tenant, at the weights of the counters."""

    def __init__(self, seqs: int, *, fair: bool = True) -> None:
        self.seqs = seqs
        self.admission = admission(seqs, fair=fair)
        self.waiting: list[tuple[str, Entry, int]] = []
        self.running: list[tuple[str, Entry, int]] = []
        self.served: defaultdict[str, float] = defaultdict(float)

    def ask(self, tenant: str, prompt: int, tokens: int, weight: float = 1.0) -> None:
        asked = prepared(tenant, prompt, 1000, weight=weight, patient=True)
        self.waiting.append((tenant, self.admission.enter(asked), tokens))
        self.look()

    def look(self) -> None:
        """Those whose turn has come are in the batch."""
        for one in [one for one in self.waiting if one[1].called]:
            tenant, entry, _ = one
            self.waiting.remove(one)
            self.running.append(one)
            self.served[tenant] += PROMPT_WEIGHT * entry.prompt_tokens

    def step(self) -> None:
        for at, (tenant, entry, left) in enumerate(self.running):
            entry.read()
            entry.produce()
            self.served[tenant] += OUTPUT_WEIGHT
            self.running[at] = (tenant, entry, left - 1)
        done = [one for one in self.running if not one[2]]
        self.running = [one for one in self.running if one[2]]
        for _, entry, _ in done:
            entry.finish(Finished("stop", entry.prompt_tokens, entry._produced))
            entry.__exit__(None, None, None)
        self.look()

    def waits(self, tenant: str) -> bool:
        """With more than the engine can take."""
        return sum(one[0] == tenant for one in self.waiting) > self.seqs + AHEAD
