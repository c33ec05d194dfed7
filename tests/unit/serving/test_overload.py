import pytest
from fathom.core.batch import AHEAD
from fathom.core.errors import Overloaded, RateLimitExceeded, ServiceError
from fathom.core.tenant import EVERYONE
from fathom.serving.admission import Admission, Entry
from prometheus_client import REGISTRY

from tests.rooms import admission
from tests.unit.serving.requests import prepared

COST = 10 + 2 * 20
"""Of a request as `prepared` makes it."""


def full(rate: float | None = None, **limits: object) -> Admission:
    """Whoever comes has to wait. rate: at which the queue goes down."""
    one = admission(1, **limits)
    for _ in range(1 + AHEAD):
        one.enter(prepared("someone"))
    one._pace.rate = rate
    return one


def fill(one: Admission, tenant: str, count: int, **fields: object) -> list[Entry]:
    return [one.enter(prepared(tenant, **fields)) for _ in range(count)]  # type: ignore[arg-type]


def refused(one: Admission, tenant: str = "a", **fields: object) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        one.enter(prepared(tenant, **fields))  # type: ignore[arg-type]
    return caught.value


def counted(**labels: str) -> float:
    return REGISTRY.get_sample_value("fathom_requests_refused_total", labels) or 0


def test_a_tenant_that_fills_the_queue_is_told_that_it_is_its_own_share():
    one = full(queue_requests=3)
    fill(one, "a", 3)
    before = counted(reason="requests", code="rate_limit_exceeded")
    error = refused(one)
    assert isinstance(error, RateLimitExceeded)
    assert "3 requests of yours wait already" in error.message
    assert "limits.queue_requests = 3" in error.message
    assert counted(reason="requests", code="rate_limit_exceeded") == before + 1


def test_a_tenant_that_comes_to_a_full_queue_still_has_its_share():
    one = full(queue_requests=4)
    fill(one, "a", 4)
    fill(one, "b", 2)
    assert isinstance(refused(one, "b"), RateLimitExceeded)
    assert isinstance(refused(one, "a"), RateLimitExceeded)


def test_a_share_is_by_weight():
    one = full(queue_requests=4)
    fill(one, "a", 1)
    fill(one, "b", 3, weight=3.0)
    refused(one, "b", weight=3.0)


def test_without_keys_a_full_queue_is_the_servers_business():
    one = full(queue_requests=3)
    fill(one, EVERYONE.id, 3)
    error = refused(one, EVERYONE.id)
    assert isinstance(error, Overloaded)
    assert "overloaded" in error.message
    unfair = full(queue_requests=3, fair=False)
    fill(unfair, "a", 3)
    assert isinstance(refused(unfair, "b"), Overloaded)


def test_the_queue_is_bounded_in_tokens_too_but_takes_one_of_any_size():
    one = full(queue_tokens=100)
    fill(one, "a", 1, prompt=500)
    error = refused(one, prompt=10)
    assert "limits.queue_tokens = 100" in error.message
    fill(one, "b", 5, prompt=10)
    assert isinstance(refused(one, "b", prompt=10), RateLimitExceeded)


def test_who_would_wait_too_long_behind_its_own_is_told_so_and_when_to_come_back():
    one = full(COST / 1.0, queue_wait=5)
    fill(one, "a", 4)
    assert one.enter(prepared("a"))
    error = refused(one)
    assert isinstance(error, RateLimitExceeded)
    assert "about 6.0 s" in error.message
    assert "5 s (limits.queue_wait)" in error.message
    assert error.retry_after == pytest.approx(1.0)
    one.enter(prepared("b"))


def test_who_would_wait_too_long_behind_others_is_told_that_the_server_is_overloaded():
    one = full(COST / 1.0, queue_wait=5)
    for tenant in "abcde":
        fill(one, tenant, 1)
        one._queue.line(prepared(tenant).request.caller, "default").counter -= COST
    error = refused(one, "f", prompt=1000)
    assert isinstance(error, Overloaded)
    assert error.status == 503
    assert "Try again in" in error.message


def test_a_request_that_cannot_meet_its_own_deadline_is_refused_at_once():
    one = full(COST / 1.0)
    fill(one, "a", 4)
    error = refused(one, timeout=3.0)
    assert "3 s (x-request-timeout)" in error.message
    assert error.retry_after == pytest.approx(2.0)
    assert one.enter(prepared(timeout=30.0))
    assert "limits.queue_timeout" in refused(full(COST / 1.0, queue_timeout=0.5)).message


def test_as_long_as_nothing_was_measured_nobody_is_refused_for_time():
    one = full(None, queue_wait=0.001)
    assert fill(one, "a", 20)


def test_nobody_is_told_to_stay_away_for_longer_than_clients_obey():
    one = full(COST / 100.0, queue_wait=5)
    assert refused(one).retry_after == 60


def test_who_waits_for_nobody_is_not_refused_whatever_the_bounds():
    one = admission(8, queue_requests=1, queue_tokens=1, queue_wait=0.001)
    one._pace.rate = 0.001
    assert one.enter(prepared(prompt=500)).called


def test_the_patient_are_never_refused():
    one = full(0.001, queue_requests=1, queue_wait=0.001)
    assert fill(one, "a", 10, patient=True)


def test_what_is_refused_anyway_is_refused_before_anything_is_spent_on_it():
    one = full(queue_requests=1)
    one.check(prepared().request)
    fill(one, "a", 1)
    with pytest.raises(RateLimitExceeded):
        one.check(prepared().request)
    one.check(prepared(patient=True).request)
    one.check(prepared("b").request)
