"""The keys that open something, in memory: a request finds its key in about a microsecond, without the database."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hmac import compare_digest

from fathom.core.key_secret import LENGTH, hash_of
from fathom.core.tenant import Caller, Tenant
from fathom.store.keys import StoredKey

_FOUND_BY = 16  # bytes of a hash. The rest is compared in constant time


@dataclass(frozen=True, slots=True)
class _Entry:
    """A secret, or (without `rest`) a key. until: seconds since the epoch."""

    caller: Caller
    until: float
    rest: bytes = b""


class KeyRing:
    """used: there is, or was, a key."""

    def __init__(self) -> None:
        self.used = False
        self._secrets: dict[bytes, _Entry] = {}
        self._keys: dict[str, _Entry] = {}
        self._places: dict[str, list[bytes]] = {}  # of each key, where its secrets are

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, keys: Iterable[StoredKey]) -> None:
        """As they are now. What opens nothing any more is taken off."""
        for key in keys:
            self.used = True
            self._remove(key.id)
            if key.revoked_at is None:
                self._add(key)
        now = time.time()
        for id in [id for id, entry in self._keys.items() if entry.until <= now]:
            self._remove(id)

    def find(self, secret: bytes) -> Caller | None:
        """Whoever has it. What cannot be a secret is not even hashed."""
        if len(secret) != LENGTH:
            return None
        whole = hash_of(secret)
        entry = self._secrets.get(whole[:_FOUND_BY])
        if entry is None or not compare_digest(entry.rest, whole[_FOUND_BY:]):
            return None
        return _if_open(entry)

    def by_id(self, id: str) -> Caller | None:
        entry = self._keys.get(id)
        return _if_open(entry) if entry else None

    def _add(self, key: StoredKey) -> None:
        caller = Caller(Tenant(key.tenant), key.id, key.scopes, key.weight, key.limits)
        end = _seconds(key.expires_at)
        self._keys[key.id] = _Entry(caller, end)
        self._places[key.id] = []
        for whole, until in _secrets_of(key):
            place = whole[:_FOUND_BY]
            self._secrets[place] = _Entry(caller, min(until, end), whole[_FOUND_BY:])
            self._places[key.id].append(place)

    def _remove(self, id: str) -> None:
        self._keys.pop(id, None)
        for place in self._places.pop(id, ()):
            del self._secrets[place]


def _secrets_of(key: StoredKey) -> Iterator[tuple[bytes, float]]:
    """Each hash, and until when it opens."""
    yield key.hash, math.inf
    if key.old_hash is not None and key.old_until is not None:
        yield key.old_hash, _seconds(key.old_until)


def _seconds(milliseconds: int | None) -> float:
    return math.inf if milliseconds is None else milliseconds / 1000


def _if_open(entry: _Entry) -> Caller | None:
    return entry.caller if time.time() < entry.until else None
