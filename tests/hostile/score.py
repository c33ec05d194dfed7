"""What hostile input did to the servers of this run, for the end of its report. All but the first line must be 0."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Score:
    """crashes: answers of 5xx. unclear: answers that are not their dialect's, or not what the table says. canaries:
    undisturbed answers, of those that were asked beside the abuse."""

    inputs: int = 0
    canaries: int = 0
    crashes: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)

    @property
    def found(self) -> list[str]:
        return [*self.crashes, *self.hangs, *self.unclear, *self.differences, *self.leaks]

    def add(self, other: "Score") -> None:
        self.inputs += other.inputs
        self.canaries += other.canaries
        for mine, theirs in zip(self._lists, other._lists, strict=True):
            mine += theirs

    def lines(self) -> Iterator[str]:
        yield f"inputs tried         {self.inputs:6}    canaries asked {self.canaries}"
        yield f"5xx                  {len(self.crashes):6}"
        yield f"hangs                {len(self.hangs):6}"
        yield f"unclear answers      {len(self.unclear):6}"
        yield f"canary differences   {len(self.differences):6}"
        yield f"leaks                {len(self.leaks):6}"

    @property
    def _lists(self) -> list[list[str]]:
        return [self.crashes, self.hangs, self.unclear, self.differences, self.leaks]


TOTAL = Score()
