"""Keys for tests, with the secrets that they were made of."""

from typing import Any

from fathom.core.key_secret import hash_of
from fathom.core.tenant import Limits, Scope
from fathom.store.keys import StoredKey


def secret(name: str) -> bytes:
    """One that is the same each time, of the length that secrets have."""
    return b"fk-" + name.encode().ljust(43, b"-")


def stored(name: str = "a", **fields: Any) -> StoredKey:
    values: dict[str, Any] = {
        "id": f"key_{name}",
        "tenant": "us",
        "name": name,
        "prefix": f"fk-{name}",
        "hash": hash_of(secret(name)),
        "scopes": frozenset({Scope.INFERENCE}),
        "weight": 2.0,
        "limits": Limits(concurrent=3),
        "created_at": 1,
    }
    return StoredKey(**{**values, **fields})
