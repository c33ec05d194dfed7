"""Whose request it is, and what they may do. Whatever is stored belongs to one tenant, and no other can tell that it is
there."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Scope(StrEnum):
    """What a key opens."""

    INFERENCE = "inference"
    ROLLOUTS = "rollouts"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Tenant:
    """`id` is what rows are kept under."""

    id: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one key. None: no limit.

    requests_per_minute, tokens_per_minute: what may begin in a minute; tokens are prompt and completion together.
    concurrent: requests that are under way at a time. budget: tokens in each `period` (UTC). max_tokens: most tokens
    that one request may ask for. max_context: most tokens of prompt and completion together in one request.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None
    budget: int | None = None
    period: Literal["day", "month"] = "month"
    max_tokens: int | None = None
    max_context: int | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a key, in the name of its tenant. key: its id, None where the server is open.

    weight: its tenant's share of a busy engine, beside those of others.
    """

    tenant: Tenant
    key: str | None = None
    scopes: frozenset[Scope] = frozenset(Scope)
    weight: float = 1.0
    limits: Limits = Limits()


EVERYONE = Tenant("default")
"""The only tenant of a server without keys."""

ANYONE = Caller(EVERYONE)
"""Who asks of a server without keys."""
