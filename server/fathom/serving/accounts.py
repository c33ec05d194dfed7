"""What is left of the limits per minute and at a time, of one key or one tenant."""

import time
from dataclasses import dataclass

from fathom.core.errors import RateLimitExceeded
from fathom.core.tenant import Limits

MINUTE = 60.0
_SOON = 1.0  # seconds; when one of the requests that run at a time ends is not known


class Bucket:
    """Fills at `most` a minute, up to `most`. What was used beyond a reservation is a debt: it is below zero."""

    __slots__ = ("_at", "_level", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self._level, self._at = float(most), time.monotonic()

    @property
    def level(self) -> float:
        now = time.monotonic()
        self._level = min(float(self.most), self._level + (now - self._at) * self.most / MINUTE)
        self._at = now
        return self._level

    def take(self, amount: float) -> None:
        self._level = self.level - amount

    def give(self, amount: float) -> None:
        """Back."""
        self._level = min(float(self.most), self.level + amount)

    def wait(self, amount: float) -> float:
        """Seconds until so much is there; never more than all of it is waited for."""
        return max(0.0, (min(amount, self.most) - self.level) * MINUTE / self.most)


def _bucket(most: int | None, before: Bucket | None) -> Bucket | None:
    """With what is left in the one before, at most."""
    if not most:
        return None
    bucket = Bucket(most)
    if before:
        bucket.take(max(0.0, most - before.level))
    return bucket


@dataclass(slots=True)
class Account:
    """Of one key, or of one tenant: what is left of its limits. whose: for errors."""

    whose: str
    limits: Limits
    requests: Bucket | None
    tokens: Bucket | None
    running: int = 0

    @classmethod
    def of(cls, whose: str, limits: Limits) -> "Account":
        account = cls(whose, limits, None, None)
        account.allow(limits)
        return account

    def allow(self, limits: Limits) -> None:
        """Other limits than before. What is left of the minute does not become more by that."""
        self.limits = limits
        self.requests = _bucket(limits.requests_per_minute, self.requests)
        self.tokens = _bucket(limits.tokens_per_minute, self.tokens)

    def check(self, tokens: int, *, counted: bool = True) -> None:
        """Raises RateLimitExceeded if one more request of so many tokens is too much now."""
        limits = self.limits
        if limits.concurrent and self.running >= limits.concurrent:
            raise RateLimitExceeded(
                f"{self.running} requests of {self.whose} are under way, and its limit is {limits.concurrent} at a "
                "time. Wait for one to end, or ask the operator for more.",
                kind="requests",
                retry_after=_SOON,
            )
        if counted:
            self.check_requests()
        if self.tokens and (wait := self.tokens.wait(tokens)):
            raise RateLimitExceeded(
                f"{tokens} tokens (prompt and completion limit) are more than {self.whose} has left of its "
                f"{self.tokens.most} tokens per minute. Try again in {wait:.1f} s, or ask for fewer tokens.",
                kind="tokens",
                retry_after=wait,
            )

    def check_requests(self) -> None:
        """Raises RateLimitExceeded if one more request in this minute is too much."""
        if self.requests and (wait := self.requests.wait(1)):
            raise RateLimitExceeded(
                f"{self.whose} has sent its {self.requests.most} requests per minute. Try again in {wait:.1f} s, or "
                "ask the operator for more.",
                kind="requests",
                retry_after=wait,
            )

    def count(self) -> None:
        if self.requests:
            self.requests.take(1)

    def take(self, tokens: int, *, counted: bool = True) -> None:
        self.running += 1
        if counted:
            self.count()
        if self.tokens:
            self.tokens.take(tokens)

    def settle(self, reserved: int, used: int) -> None:
        self.running -= 1
        if self.tokens:
            self.tokens.give(reserved - used)
