"""The order of what waits: a virtual token counter for each tenant (Sheng et al., "Fairness in Serving Large Language
Models", OSDI 2024).

A tenant's counter says how much it was served. Of the tenants that wait, the one with the least counter is next. A
prompt is charged when it goes to the engine, output as it comes, so nobody has to know how long an answer will be. A
tenant that comes back is lifted to the least of those that wait, less a small credit: having been away earns no more
than that. The paper has no credit. With it, a burst of one that sends little is served at once; the bound of unfairness
grows by it once, however often a tenant goes and comes back.

Tiers share the engine by the same rule, one level above: each weighs ten times the next, so that it comes first, and
what is below it still moves.
"""

import time
from collections.abc import Collection
from typing import Generic, TypeVar

from fathom.core.generation import Tier
from fathom.core.tenant import Caller
from fathom.serving.contest import Contest, Sharer, Work

PROMPT_WEIGHT, OUTPUT_WEIGHT = 1.0, 2.0
"""What a token costs: the weights of the paper, after the prices that providers ask for input and output."""

TIERS: dict[Tier, float] = {"priority": 100.0, "default": 10.0, "flex": 1.0}
"""With what it weighs."""

_FIRST_GUESS = 256.0
_MEMORY = 8  # answers of a tenant that the length of its next one is told from

_SHORT, _EVERY = 64, 1.0  # requests in a line that are counted whenever somebody asks; seconds

_EVERYBODY = "everybody"


class Ticket:
    """A place in a line. cost: what serving it is expected to cost. before: what was in front of it when that was last
    counted."""

    def __init__(self, prompt_tokens: int, cost: float) -> None:
        self.prompt_tokens, self.cost = prompt_tokens, max(cost, 1.0)
        self.before = Work()


T = TypeVar("T", bound=Ticket)


class Line(Sharer, Generic[T]):
    """What one tenant has in one tier, first come first served. prompt_tokens: of all that wait. running:
    choices of it that the engine has. tokens: completion tokens that one takes, as far as was seen."""

    def __init__(self, band: "Band[T]", weight: float) -> None:
        super().__init__(weight)
        self.band = band
        self.tickets: dict[T, None] = {}
        self.prompt_tokens = self.running = 0
        self.tokens = _FIRST_GUESS
        self._counted = 0.0

    def before(self, ticket: T) -> Work:
        """What is in front of it. In a long line that is counted once a second, for all of them."""
        now = time.monotonic()
        if self.requests <= _SHORT or now - self._counted >= _EVERY:
            self._counted, work = now, Work()
            for each in self.tickets:
                each.before = work
                work = Work(work.requests + 1, work.cost + each.cost)
        return ticket.before

    def charge(self, cost: float) -> None:
        self.counter += cost / self.weight
        self.band.counter += cost / self.band.weight

    def learn(self, tokens: int) -> None:
        """A choice of it has ended, after so many."""
        self.tokens += (tokens - self.tokens) / _MEMORY


class Band(Sharer, Generic[T]):
    """A tier: its lines."""

    def __init__(self, tier: Tier, weight: float) -> None:
        super().__init__(weight)
        self.tier = tier
        self.lines: dict[str, Line[T]] = {}
        self.contest: Contest[Line[T]] = Contest()


class FairQueue(Generic[T]):
    """fair: False makes it first come first served, whoever comes and whatever tier it asks for."""

    def __init__(self, *, fair: bool = True) -> None:
        self._fair, self._credit = fair, 0.0
        self._bands: dict[Tier, Band[T]] = {tier: Band(tier, weight) for tier, weight in TIERS.items()}
        self._contest: Contest[Band[T]] = Contest()

    @property
    def bands(self) -> Collection[Band[T]]:
        return self._bands.values()

    @property
    def next(self) -> T | None:
        band = self._contest.next
        line = band and band.contest.next
        return next(iter(line.tickets)) if line else None

    def line(self, caller: Caller, tier: Tier) -> Line[T]:
        """Where requests of this caller wait."""
        band = self._bands[tier if self._fair else "default"]
        tenant, weight = (caller.tenant.id, caller.weight) if self._fair else (_EVERYBODY, 1.0)
        line = band.lines.get(tenant)
        if line is None:
            line = band.lines[tenant] = Line(band, weight)
        line.weight = weight
        return line

    def add(self, ticket: T, line: Line[T]) -> None:
        line.tickets[ticket] = None
        ticket.before = Work(line.requests, line.cost)
        if not line.requests:
            line.band.contest.join(line)
        if not line.band.requests:
            self._contest.join(line.band)
        self._change(line, 1, ticket)

    def remove(self, ticket: T, line: Line[T]) -> None:
        """From wherever it stands in it."""
        del line.tickets[ticket]
        self._change(line, -1, ticket)
        if not line.requests:
            line.band.contest.leave(line)
        if not line.band.requests:
            self._contest.leave(line.band)

    def ahead(self, line: Line[T], until: T | None = None) -> Work:
        """What is served before `until` in this line, or before one that comes to its end."""
        return self._ahead(line, line.before(until) if until else Work(line.requests, line.cost))

    def ahead_without_own(self, line: Line[T]) -> Work:
        """What would be served before it if nothing of the tenant waited."""
        return self._ahead(line, Work())

    def share(self, line: Line[T]) -> float:
        """Of its tier's queue, 0 to 1: by weight, among those that wait and this one."""
        return line.weight / sum(each.weight for each in {*line.band.contest.waiting, line})

    def give_credit(self, cost: float) -> None:
        """To tenants that come back, beside those of their tier. Tiers have none."""
        self._credit = cost
        for band in self._bands.values():
            band.contest.credit = cost

    def owed(self, line: Line[T]) -> bool:
        """Whether its tenant was clearly served less than each that waits: by a quarter of the credit or more."""
        return self._contest.leads(line.band) and line.band.contest.leads(line, self._credit / 4)

    def lift(self, line: Line[T]) -> None:
        """As one that waits is: having been away earns no more than the credit."""
        line.counter, line.band.counter = line.band.contest.lifted(line), self._contest.lifted(line.band)

    def leads(self, line: Line[T]) -> bool:
        """Whether nobody who waits comes before one that comes to this line now."""
        return self._contest.leads(line.band) and line.band.contest.leads(line)

    def alone(self, line: Line[T]) -> bool:
        """Whether nobody else waits."""
        return all(one is line for band in self._contest.waiting for one in band.contest.waiting)

    def _ahead(self, line: Line[T], own: Work) -> Work:
        return self._contest.before(line.band, line.band.contest.before(line, own))

    def _change(self, line: Line[T], sign: int, ticket: T) -> None:
        line.prompt_tokens += sign * ticket.prompt_tokens
        for one in (line, line.band):
            one.change(sign, sign * ticket.cost)
