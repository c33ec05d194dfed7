import asyncio
from contextlib import AsyncExitStack

import pytest
from fathom.core.errors import BadRequest, QuotaExceeded, RateLimitExceeded
from fathom.core.tenant import ANYONE, Caller, Limits, Tenant
from fathom.serving import accounts as limiting
from fathom.serving.accounts import Bucket
from fathom.serving.limits import RateLimits, duration
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.serving.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(limiting, "time", clock)
    return clock


def caller(tenant: str = "a", key: str = "key_1", **limits: object) -> Caller:
    return Caller(Tenant(tenant), key, limits=Limits(**limits))  # type: ignore[arg-type]


def rate_limits(spent: int = 0, **tenants: Limits) -> RateLimits:
    async def of(_caller: Caller) -> int:
        return spent

    return RateLimits(tenants, of)


async def test_who_has_no_limits_has_none_and_is_told_of_none(clock):
    limits = rate_limits()
    async with AsyncExitStack() as stack:
        for _ in range(100):
            await stack.enter_async_context(limits.reserved(ANYONE, 10**6, 10**6))
    assert limits.headers(ANYONE) == {}


async def test_requests_per_minute_come_back_one_by_one(clock):
    limits, who = rate_limits(), caller(requests_per_minute=6)
    for _ in range(6):
        async with limits.reserved(who, 1, 1):
            pass
    with pytest.raises(RateLimitExceeded, match="6 requests per minute") as refused:
        await limits.reserved(who, 1, 1).__aenter__()
    assert (refused.value.type, refused.value.retry_after) == ("requests", pytest.approx(10))
    clock.now += 10
    async with limits.reserved(who, 1, 1):
        pass


async def test_tokens_are_reserved_and_what_was_not_used_comes_back(clock):
    limits, who = rate_limits(), caller(tokens_per_minute=100)
    async with limits.reserved(who, 10, 50) as first:
        with pytest.raises(RateLimitExceeded, match="60 tokens") as refused:
            await limits.reserved(who, 10, 50).__aenter__()
        assert refused.value.type == "tokens"
        async with limits.reserved(who, 10, 30) as second:
            second.used = lambda: 40
        first.used = lambda: 15
    async with limits.reserved(who, 10, 35) as third:
        third.used = lambda: 45
    with pytest.raises(RateLimitExceeded):
        await limits.reserved(who, 1, 0).__aenter__()


async def test_a_request_larger_than_a_minute_s_tokens_takes_all_of_them_and_the_rest_is_a_debt(clock):
    limits, who = rate_limits(), caller(tokens_per_minute=100)
    async with limits.reserved(who, 10, 4000) as large:
        large.used = lambda: 200
    with pytest.raises(RateLimitExceeded) as refused:
        await limits.reserved(who, 5, 5).__aenter__()
    assert refused.value.retry_after == pytest.approx(66)
    clock.now += 66.1
    async with limits.reserved(who, 5, 5):
        pass


async def test_only_so_many_run_at_a_time(clock):
    limits, who = rate_limits(), caller(concurrent=2)
    async with limits.reserved(who, 1, 1), limits.reserved(who, 1, 1):
        with pytest.raises(RateLimitExceeded, match="2 at a time"):
            await limits.reserved(who, 1, 1).__aenter__()
    async with limits.reserved(who, 1, 1):
        pass


async def test_a_tenant_s_limits_hold_for_all_of_its_keys_together(clock):
    limits = rate_limits(a=Limits(concurrent=1), **{"*": Limits(concurrent=2)})
    async with limits.reserved(caller("a", "key_1"), 1, 1):
        with pytest.raises(RateLimitExceeded, match="tenant 'a'"):
            await limits.reserved(caller("a", "key_2"), 1, 1).__aenter__()
        async with limits.reserved(caller("b"), 1, 1), limits.reserved(caller("b"), 1, 1):
            pass


async def test_what_is_refused_takes_nothing(clock):
    limits, who = rate_limits(), caller(requests_per_minute=1, tokens_per_minute=10, concurrent=5)
    with pytest.raises(RateLimitExceeded):
        async with limits.reserved(who, 5, 5), limits.reserved(who, 5, 5):
            pass
    assert limits.headers(who)["x-ratelimit-remaining-requests"] == "0"
    clock.now += 60
    assert limits.headers(who)["x-ratelimit-remaining-requests"] == "1"
    async with limits.reserved(who, 5, 5):
        pass


@pytest.mark.parametrize("how", ["raises", "is cancelled"])
async def test_a_request_that_fails_settles_what_it_used(clock, how):
    limits, who = rate_limits(), caller(tokens_per_minute=100, concurrent=1)

    async def fail() -> None:
        async with limits.reserved(who, 10, 90) as reservation:
            reservation.used = lambda: 30
            if how == "raises":
                raise OSError
            await asyncio.sleep(60)

    task = asyncio.ensure_future(fail())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises((OSError, asyncio.CancelledError)):
        await task
    assert limits.headers(who)["x-ratelimit-remaining-tokens"] == "70"
    async with limits.reserved(who, 10, 60):
        pass


async def test_a_budget_counts_what_was_spent_and_what_is_reserved(clock):
    limits, who = rate_limits(spent=900), caller(budget=1000, period="day")
    async with limits.reserved(who, 10, 50):
        with pytest.raises(QuotaExceeded, match="40 that are left of this key's 1000 tokens a day") as refused:
            await limits.reserved(who, 10, 50).__aenter__()
        assert (refused.value.code, refused.value.retry) == ("insufficient_quota", False)
    async with limits.reserved(who, 10, 90):
        pass


@pytest.mark.parametrize(("allowed", "words"), [({"max_tokens": 20}, "21 tokens"), ({"max_context": 30}, "10 tokens")])
async def test_a_request_that_is_too_large_for_its_key_is_refused(clock, allowed, words):
    limits = rate_limits()
    with pytest.raises(BadRequest, match=words) as refused:
        await limits.reserved(caller(**allowed), 10, 21).__aenter__()
    assert refused.value.param == "max_tokens"
    async with limits.reserved(caller(**allowed), 10, 20):
        pass


async def test_other_limits_hold_from_the_next_request_on(clock):
    limits = rate_limits()
    async with limits.reserved(caller(concurrent=1), 1, 1), limits.reserved(caller(concurrent=2), 1, 1):
        with pytest.raises(RateLimitExceeded):
            await limits.reserved(caller(concurrent=2), 1, 1).__aenter__()
    assert limits._accounts["key", "key_1"].running == 0


async def test_a_change_of_limits_gives_no_new_minute(clock):
    rates = rate_limits()
    for _ in range(3):
        async with rates.reserved(caller(requests_per_minute=3), 1, 1):
            pass
        for before in (caller(requests_per_minute=2), caller(tokens_per_minute=2)):  # requests from before a change
            rates.headers(before)
    with pytest.raises(RateLimitExceeded):
        async with rates.reserved(caller(requests_per_minute=3), 1, 1):
            pass


async def test_what_was_counted_when_it_came_is_not_counted_again(clock):
    rates, who = rate_limits(), caller(requests_per_minute=1)
    rates.count(who)
    async with rates.reserved(who, 1, 1, counted=False):
        pass
    with pytest.raises(RateLimitExceeded):
        rates.count(who)


async def test_headers_are_those_of_openai(clock):
    limits, who = rate_limits(), caller(requests_per_minute=60, tokens_per_minute=6000)
    async with limits.reserved(who, 100, 100):
        assert limits.headers(who) == {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "59",
            "x-ratelimit-reset-requests": "1s",
            "x-ratelimit-limit-tokens": "6000",
            "x-ratelimit-remaining-tokens": "5800",
            "x-ratelimit-reset-tokens": "2s",
        }


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0ms"), (0.0118, "12ms"), (1, "1s"), (59.5, "60s"), (360, "6m0s"), (61.2, "1m2s")]
)
def test_durations_are_written_as_openai_writes_them(seconds, text):
    assert duration(seconds) == text.replace("60s", "1m0s")


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 50)), max_size=50))
def test_in_no_minute_more_begins_than_the_limit_and_what_was_left_over(steps):
    clock = Clock()
    limiting.time, real = clock, limiting.time  # type: ignore[assignment]
    try:
        bucket, taken = Bucket(100), []
        for passed, amount in steps:
            clock.now += passed
            if not bucket.wait(amount):
                bucket.take(amount)
                taken.append((clock.now, amount))
        for start, _ in taken:
            window = [amount for at, amount in taken if start <= at < start + 60]
            assert sum(window) <= 200  # a full bucket, and what a minute brings
    finally:
        limiting.time = real
