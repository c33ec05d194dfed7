"""What keys and tenants may use: in a minute, at a time, and in a day or month.

Tokens are reserved before a request goes to the engine, prompt and completion limit together, and settled when it has
ended. So requests that run at the same time cannot overrun a limit together. All of it is in memory, and a key without
limits costs nothing.
"""

import math
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

from fathom.core.errors import BadRequest, QuotaExceeded
from fathom.core.generation import GenerationRequest
from fathom.core.tenant import Caller, Limits
from fathom.serving.accounts import MINUTE, Account


class Reservation:
    """used: tells the tokens of the request so far."""

    __slots__ = ("used",)

    def __init__(self) -> None:
        self.used: Callable[[], int] = lambda: 0


class RateLimits:
    """tenants: limits of tenants by name; "*" is for those that are not named. spent: tokens that a key has used of its
    budget in this period."""

    def __init__(self, tenants: Mapping[str, Limits], spent: Callable[[Caller], Awaitable[int]]) -> None:
        self._tenants, self._spent = tenants, spent
        self._accounts: dict[tuple[str, str], Account] = {}
        self._reserved: Counter[str] = Counter()  # of budgets, by key

    @asynccontextmanager
    async def reserved(
        self, caller: Caller, prompt_tokens: int, max_tokens: int, *, longest: int | None = None, counted: bool = True
    ) -> AsyncGenerator[Reservation]:
        """Room for one request, until the block is left. Raises BadRequest, RateLimitExceeded and QuotaExceeded.

        max_tokens: most completion tokens, of all choices. longest: prompt tokens of its longest part, where they are
        several. counted: False for one that was counted when it came (see `count`).
        """
        accounts = self._accounts_of(caller)
        budgeted = caller.key if caller.limits.budget is not None else None
        tokens, reservation = prompt_tokens + max_tokens, Reservation()
        if accounts or budgeted:
            check_size(caller.limits, prompt_tokens if longest is None else longest, max_tokens)
        spent = await self._spent(caller) if budgeted else 0
        for account in accounts:
            account.check(tokens, counted=counted)
        if budgeted:
            check_budget(caller.limits, spent + self._reserved[budgeted], tokens)
            self._reserved[budgeted] += tokens
        for account in accounts:
            account.take(tokens, counted=counted)
        try:
            yield reservation
        finally:
            for account in accounts:
                account.settle(tokens, reservation.used())
            if budgeted:
                self._reserved[budgeted] -= tokens

    def count(self, caller: Caller) -> None:
        """One request that will be made later. Raises RateLimitExceeded if it is one too many in this minute."""
        accounts = self._accounts_of(caller)
        for account in accounts:
            account.check_requests()
        for account in accounts:
            account.count()

    def limits(self, caller: Caller) -> bool:
        """Whether its key has limits per minute."""
        return caller.limits.requests_per_minute is not None or caller.limits.tokens_per_minute is not None

    def headers(self, caller: Caller) -> dict[str, str]:
        """What is left of a key's requests and tokens per minute, in OpenAI's headers; {} where neither is limited."""
        if not caller.key or not self.limits(caller):
            return {}
        account = self._accounts.get(("key", caller.key)) or self._account("key", caller.key, caller.limits)
        buckets = {"requests": account.requests, "tokens": account.tokens}
        return {
            name: value
            for what, bucket in buckets.items()
            if bucket
            for name, value in (
                (f"x-ratelimit-limit-{what}", str(bucket.most)),
                (f"x-ratelimit-remaining-{what}", str(max(0, int(bucket.level)))),
                (f"x-ratelimit-reset-{what}", duration(bucket.wait(bucket.most))),
            )
        }

    def _accounts_of(self, caller: Caller) -> list[Account]:
        """The tenant's first: its error says more."""
        of_tenant = self._tenants.get(caller.tenant.id) or self._tenants.get("*")
        found = []
        if of_tenant:
            found.append(self._account("tenant", caller.tenant.id, of_tenant))
        if caller.key and caller.limits != Limits():
            found.append(self._account("key", caller.key, caller.limits))
        return found

    def _account(self, kind: str, name: str, limits: Limits) -> Account:
        account = self._accounts.get((kind, name))
        if account is None:
            account = self._accounts[kind, name] = Account.of(f"{kind} {name!r}", limits)
        elif account.limits != limits:
            account.allow(limits)
        return account


def within(request: GenerationRequest) -> GenerationRequest:
    """One that names no number of tokens gets what its key allows."""
    limits, sampling = request.caller.limits, request.sampling
    if limits.max_tokens is None or sampling.max_tokens is not None:
        return request
    most = max(1, limits.max_tokens // request.n)
    return replace(request, sampling=replace(sampling, max_tokens=most, max_tokens_fit=True))


def check_size(limits: Limits, prompt_tokens: int, max_tokens: int) -> None:
    """Raises BadRequest for a request that is larger than its key may make one."""
    if limits.max_tokens is not None and max_tokens > limits.max_tokens:
        raise BadRequest(
            f"The request may give up to {max_tokens} tokens (all choices together), and its key's limit is "
            f"{limits.max_tokens} for one request. Ask for fewer.",
            param="max_tokens",
        )
    if limits.max_context is not None and prompt_tokens + max_tokens > limits.max_context:
        raise BadRequest(
            f"The prompt has {prompt_tokens} tokens and up to {max_tokens} may follow, and its key's limit is "
            f"{limits.max_context} for both together. Shorten the prompt, or ask for fewer tokens.",
            param="max_tokens",
        )


def check_parts(limits: Limits, parts: int, param: str) -> None:
    """Raises BadRequest for one request that stands for more of them than its key may ever have."""
    for most, what in ((limits.concurrent, "at a time"), (limits.requests_per_minute, "per minute")):
        if most is not None and parts > most:
            raise BadRequest(
                f"This is {parts} requests in one, and the limit of its key is {most} {what}. Send fewer.", param=param
            )


def check_budget(limits: Limits, used: int, tokens: int) -> None:
    """Raises QuotaExceeded if so many more tokens do not fit into the period's budget."""
    budget = limits.budget
    assert budget is not None, "it has one"
    if used + tokens > budget:
        left = max(0, budget - used)
        raise QuotaExceeded(
            f"{tokens} tokens (prompt and completion limit) are more than the {left} that are left of this key's "
            f"{budget} tokens a {limits.period}. Ask for fewer, wait for the next {limits.period} (UTC), or ask the "
            "operator."
        )


def duration(seconds: float) -> str:
    """As OpenAI writes it: 12ms, 1s, 6m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    whole = math.ceil(seconds)
    return f"{whole}s" if whole < MINUTE else f"{whole // 60}m{whole % 60}s"
