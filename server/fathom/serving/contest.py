"""Who is next among those that wait: tenants of a tier, and the tiers themselves (fair_queue.py says by what rule)."""

from collections.abc import Collection
from typing import Generic, NamedTuple, TypeVar


class Work(NamedTuple):
    """So many requests, and what serving them costs."""

    requests: float = 0.0
    cost: float = 0.0


class Sharer:
    """Someone who shares the engine with others. counter: what it was served, by its weight. requests, cost: of what
    waits of it."""

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.counter = 0.0
        self.requests, self.cost = 0, 0.0

    def change(self, requests: int, cost: float) -> None:
        self.requests += requests
        self.cost = self.cost + cost if self.requests else 0.0  # and no rest of rounding


S = TypeVar("S", bound=Sharer)


class Contest(Generic[S]):
    """Those who wait, of one kind. credit: how far below them the counter of one that comes back may be."""

    def __init__(self) -> None:
        self.credit = 0.0
        self._waiting: dict[S, None] = {}
        self._last: S | None = None

    @property
    def waiting(self) -> Collection[S]:
        return self._waiting.keys()

    @property
    def next(self) -> S | None:
        return min(self._waiting, key=_counter, default=None)

    def join(self, one: S) -> None:
        one.counter = self.lifted(one)
        self._waiting[one] = None

    def leave(self, one: S) -> None:
        del self._waiting[one]
        self._last = one

    def leads(self, one: S, by: float = 0.0) -> bool:
        """Whether the counters of all others that wait are above its own, by so much or more."""
        return all(one.counter + by <= other.counter for other in self._waiting if other is not one)

    def before(self, one: S, own: Work) -> Work:
        """What is served before `one` has been served `own` and is next again, as far as it waits now."""
        level = self.lifted(one) + own.cost / one.weight
        return _sum(own, *(_until(other, level) for other in self._waiting if other is not one))

    def lifted(self, one: S) -> float:
        """Its counter, if it waits or if it came now."""
        if one in self._waiting:
            return one.counter
        least = self.next or self._last
        return max(one.counter, least.counter - self.credit) if least else one.counter


def _sum(*works: Work) -> Work:
    return Work(sum(work.requests for work in works), sum(work.cost for work in works))


def _counter(one: Sharer) -> tuple[float, float]:
    return one.counter, -one.weight


def _until(one: Sharer, level: float) -> Work:
    """What of its work is served before its counter has come to `level`."""
    cost = min(one.cost, max(0.0, level - one.counter) * one.weight)
    return Work(one.requests * cost / one.cost, cost)
