"""Whose request it is. Whatever is stored belongs to one tenant, and no other can tell that it is there."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tenant:
    """`id` is what rows are kept under."""

    id: str


EVERYONE = Tenant("default")
"""The only tenant of a server without keys."""
