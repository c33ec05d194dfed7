import pytest
from fathom.core.generation import Tier
from fathom.serving.contest import Work
from fathom.serving.fair_queue import FairQueue, Ticket
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.serving.requests import caller


class Queue:
    """Of tickets that each cost 10, as names: the order in which they are served, each charged when it is."""

    def __init__(self, *, fair: bool = True) -> None:
        self.queue: FairQueue[Ticket] = FairQueue(fair=fair)
        self.names: dict[Ticket, str] = {}
        self.tickets: dict[str, Ticket] = {}

    def line(self, tenant: str, tier: Tier = "default", weight: float = 1.0):
        return self.queue.line(caller(tenant, weight), tier)

    def add(self, *names: str, tier: Tier = "default", weight: float = 1.0, cost: float = 10) -> "Queue":
        """The first letter of a name is its tenant."""
        for name in names:
            ticket = self.tickets[name] = Ticket(1, cost)
            self.names[ticket] = name
            self.queue.add(ticket, self.line(name[0], tier, weight))
        return self

    def take(self, most: int = 1000) -> list[str]:
        taken = []
        while (ticket := self.queue.next) and len(taken) < most:
            line = next(line for band in self.queue.bands for line in band.lines.values() if ticket in line.tickets)
            self.queue.remove(ticket, line)
            line.charge(ticket.cost)
            taken.append(self.names[ticket])
        return taken


def test_tenants_take_turns_and_each_is_served_in_its_order():
    assert Queue().add("a1", "a2", "a3", "b1", "b2").take() == ["a1", "b1", "a2", "b2", "a3"]


def test_one_tenant_alone_is_served_first_come_first_served():
    assert Queue().add("a1", "a2", "a3").take() == ["a1", "a2", "a3"]


def test_unfair_is_first_come_first_served_whoever_comes_and_whatever_it_asks_for():
    queue = Queue(fair=False).add("a1", "a2", tier="flex").add("b1", tier="priority", weight=9)
    assert queue.take() == ["a1", "a2", "b1"]


def test_whoever_has_twice_the_weight_is_served_twice_as_much():
    queue = Queue().add(*(f"a{at}" for at in range(20)), weight=2).add(*(f"b{at}" for at in range(20)))
    served = [name[0] for name in queue.take(15)]
    assert (served.count("a"), served.count("b")) == (10, 5)


def test_a_tenant_that_was_away_has_saved_up_nothing():
    queue = Queue().add("a1", "b1")
    queue.take()
    queue.add(*(f"b{at}" for at in range(2, 40)))
    queue.take(30)
    queue.add(*(f"a{at}" for at in range(2, 10)))
    served = [name[0] for name in queue.take(8)]
    assert served.count("a") == 4


@given(st.integers(0, 12), st.integers(1, 8))
def test_with_a_credit_it_is_ahead_by_so_much_however_often_it_comes_back(credit: int, burst: int) -> None:
    queue = Queue().add("a1", "b1")
    queue.take()
    queue.queue.give_credit(10 * credit)
    queue.add(*(f"b{at}" for at in range(2, 300)))
    queue.take(30)
    served = {"a": 0, "b": 0}
    for back in range(20):
        queue.add(*(f"a{back}-{at}" for at in range(burst)))
        first = [name[0] for name in queue.take(min(burst, credit))]
        if not back:
            assert first == ["a"] * len(first)
        for name in [*first, *(name[0] for name in queue.take(burst))]:
            served[name] += 1
        assert served["a"] - served["b"] <= credit + 1


def test_a_newcomer_to_an_empty_queue_is_not_ahead_of_who_used_the_engine_alone():
    queue = Queue().add(*(f"a{at}" for at in range(30)))
    queue.take()
    queue.add(*(f"b{at}" for at in range(10)), *(f"a{at}" for at in range(30, 40)))
    served = [name[0] for name in queue.take(10)]
    assert served.count("b") in (5, 6)


def test_tiers_come_first_by_name_and_the_lower_ones_still_move():
    queue = Queue()
    for tier in ("flex", "default", "priority"):
        queue.add(*(f"{tier[0]}{at}" for at in range(500)), tier=tier)
    first = [name[0] for name in queue.take(444)]
    assert first[:3] == ["p", "d", "f"]
    assert [first.count(tier) for tier in "pdf"] == [400, 40, 4]


def test_an_urgent_request_does_not_wait_for_the_usual_ones():
    queue = Queue().add(*(f"d{at}" for at in range(50)))
    queue.take(20)
    queue.add("p1", tier="priority")
    assert queue.take(1) == ["p1"]


def test_what_a_tenant_has_used_in_one_tier_is_not_held_against_it_in_another():
    queue = Queue().add(*(f"a{at}" for at in range(50)), tier="flex")
    queue.take()
    queue.add("b1", "b2", "b3").add("a1", "a2", "a3")
    assert queue.take() == ["b1", "a1", "b2", "a2", "b3", "a3"]


def test_a_ticket_can_be_taken_out_from_anywhere():
    queue = Queue().add("a1", "a2", "a3", "b1")
    queue.queue.remove(queue.tickets["a2"], queue.line("a"))
    queue.queue.remove(queue.tickets["b1"], queue.line("b"))
    assert queue.take() == ["a1", "a3"]
    assert queue.queue.next is None


NAMES = st.lists(st.sampled_from("aab"), min_size=1, max_size=30).map(
    lambda tenants: [f"{tenant}{at}" for at, tenant in enumerate(tenants)]
)


@given(NAMES, st.data())
def test_what_is_foretold_to_be_ahead_is_what_is_served_before(names: list[str], data: st.DataObject) -> None:
    queue = Queue().add(*names)
    queue.take(data.draw(st.integers(0, len(names) - 1), "served before"))
    waiting = [name for name in names if queue.tickets[name] in queue.line(name[0]).tickets]
    name = data.draw(st.sampled_from(waiting), "whose place")
    ahead = queue.queue.ahead(queue.line(name[0]), queue.tickets[name])
    before = queue.take().index(name)
    assert ahead.requests == pytest.approx(before, abs=1)  # turns at the same level may come either way
    assert ahead.cost == pytest.approx(10 * ahead.requests)


def test_ahead_of_who_comes_now_is_its_own_and_as_much_of_others():
    queue = Queue().add("a1", "a2", *(f"b{at}" for at in range(10)))
    assert queue.queue.ahead(queue.line("a")) == Work(4, 40)
    assert queue.queue.ahead_without_own(queue.line("a")) == Work(0, 0)
    assert queue.queue.ahead(queue.line("c")).requests == 0


def test_a_share_of_the_queue_is_by_weight_among_those_that_wait():
    queue = Queue().add("a1")
    assert queue.queue.share(queue.line("a")) == 1
    assert queue.queue.share(queue.line("b", weight=3)) == 0.75
    queue.add("b1", weight=3)
    assert queue.queue.share(queue.line("a")) == 0.25
