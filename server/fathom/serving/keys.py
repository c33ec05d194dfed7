"""What operators do with keys, by command and by route. A change returns once every server goes by it."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field, replace

from fathom.core.clock import now
from fathom.core.errors import BadRequest, NotFound, StoreUnavailable
from fathom.core.ids import new_id
from fathom.core.key_secret import hash_of, new_secret, prefix_of
from fathom.core.tenant import EVERYONE, Limits, Scope
from fathom.serving.server_id import ended_here
from fathom.store.database import Database
from fathom.store.keys import StoredKey as StoredKey  # the edge knows it from here

PATIENCE = 5.0
"""Seconds that a change waits for servers to see it."""

_LOOK_EVERY = 0.05
_UNKNOWN = "unknown: the database went away"  # in place of servers that do not go by a change yet
_MOST_NAME = 100
_MOST_WEIGHT = 1000.0
_MOST_TOKENS = 2**53  # what every JSON parser can read
_LAST_SECOND = 253_402_300_799  # of the year 9999
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a key is to be. expires_at: milliseconds since the epoch."""

    name: str = ""
    tenant: str = EVERYONE.id
    scopes: frozenset[Scope] = frozenset({Scope.INFERENCE})
    weight: float = 1.0
    limits: Limits = field(default_factory=Limits)
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """A key as it is now. secret: a new one, told this once. behind: ids of servers that may not go by it yet."""

    key: StoredKey
    secret: str | None = None
    behind: Sequence[str] = ()


Change = Callable[[StoredKey], StoredKey]


class Keys:
    """see: has this server, if it is one, see a change at once."""

    def __init__(self, database: Database, see: Callable[[], Awaitable[None]] | None = None) -> None:
        self._database, self._see = database, see

    async def create(self, wanted: NewKey) -> Changed:
        """Raises BadRequest."""
        key, secret = _new(wanted)
        async with self._database.transaction() as work:
            key = replace(key, revision=await work.keys.next_revision())
            await work.keys.add(key)
        return await self._changed(key, secret)

    async def create_first(self) -> Changed | None:
        """One that opens everything, if there was never a key. Of servers that start together, one makes it."""
        key, secret = _new(NewKey("first", scopes=frozenset(Scope)))
        async with self._database.transaction() as work:
            key = replace(key, revision=await work.keys.next_revision())
            if await work.keys.any():
                return None
            await work.keys.add(key)
        return await self._changed(key, secret)

    async def get(self, id: str) -> StoredKey:
        """Raises NotFound."""
        async with self._database.reading() as work:
            return _found(await work.keys.get(id), id)

    async def page(self, *, after: str = "", limit: int | None = None, tenant: str | None = None) -> list[StoredKey]:
        """Oldest first, from behind the one with the id `after`, those that open nothing any more included."""
        async with self._database.reading() as work:
            return await work.keys.page(after=after, limit=limit, tenant=tenant)

    async def change(self, id: str, how: Change) -> Changed:
        """Raises NotFound, and BadRequest for one that was revoked."""

        def checked(key: StoredKey) -> StoredKey:
            _must_open(key)
            changed = how(key)
            _check(changed, before=key)
            return changed

        return await self._change(id, checked)

    async def rotate(self, id: str, grace: float = 0.0) -> Changed:
        """A new secret. The old one opens for `grace` seconds more; one that was older still opens nothing from now on.
        Raises NotFound, and BadRequest for a key that was revoked."""
        if not 0 <= grace <= _LAST_SECOND:
            raise BadRequest(f"A grace period is 0 to {_LAST_SECOND} seconds.", param="grace_seconds")
        secret = new_secret()

        def rotated(key: StoredKey) -> StoredKey:
            _must_open(key)
            old = (key.hash, now() + round(grace * 1000)) if grace else (None, None)
            changed = replace(key, old_hash=old[0], old_until=old[1])
            return replace(changed, hash=hash_of(secret.encode()), prefix=prefix_of(secret))

        return await self._change(id, rotated, secret)

    async def revoke(self, id: str) -> Changed:
        """For good. One that is revoked stays as it is. Raises NotFound."""

        def revoked(key: StoredKey) -> StoredKey:
            return replace(key, revoked_at=key.revoked_at or now(), old_hash=None, old_until=None)

        return await self._change(id, revoked)

    async def _change(self, id: str, how: Change, secret: str | None = None) -> Changed:
        async with self._database.transaction() as work:
            revision = await work.keys.next_revision()  # first: nobody else changes it from here on
            key = replace(how(_found(await work.keys.get(id), id)), revision=revision)
            await work.keys.put(key)
        return await self._changed(key, secret)

    async def _changed(self, key: StoredKey, secret: str | None) -> Changed:
        """It is stored by now, and its secret must be told, whatever becomes of the database."""
        try:
            return Changed(key, secret, await self._followed(key))
        except StoreUnavailable:
            return Changed(key, secret, [_UNKNOWN])

    async def _followed(self, key: StoredKey) -> list[str]:
        """Servers that may not go by it yet, when they had time."""
        if self._see:
            await self._see()
        until = time.monotonic() + PATIENCE
        while (behind := await self._behind(key.revision)) and time.monotonic() < until:  # noqa: ASYNC110 - no news here
            await asyncio.sleep(_LOOK_EVERY)
        return behind

    async def _behind(self, revision: int) -> list[str]:
        async with self._database.reading() as work:
            return [server for server in await work.servers.behind_with_keys(revision) if not ended_here(server)]


def _new(wanted: NewKey) -> tuple[StoredKey, str]:
    secret = new_secret()
    key = StoredKey(
        id=new_id("key"),
        tenant=wanted.tenant,
        name=wanted.name,
        prefix=prefix_of(secret),
        hash=hash_of(secret.encode()),
        scopes=wanted.scopes,
        weight=wanted.weight,
        limits=wanted.limits,
        created_at=now(),
        expires_at=wanted.expires_at,
    )
    _check(key)
    return key, secret


def _found(key: StoredKey | None, id: str) -> StoredKey:
    if key is None:
        raise NotFound(f"There is no key {id[:100]!r} here.", param="key_id")
    return key


def _must_open(key: StoredKey) -> None:
    if key.revoked_at is not None:
        raise BadRequest(f"The key {key.id} was revoked, and that is for good. Create another.", param="key_id")


def _check(key: StoredKey, before: StoredKey | None = None) -> None:
    """Raises BadRequest."""
    if len(key.name) > _MOST_NAME or not key.name.isprintable():
        raise BadRequest(f"A name has at most {_MOST_NAME} characters, all printable.", param="name")
    if not _TENANT.fullmatch(key.tenant):
        raise BadRequest(
            "A tenant is 1 to 64 letters, digits, dots, dashes and underscores, and begins with one of the first two.",
            param="tenant",
        )
    if not key.scopes:
        raise BadRequest(f"A key has at least one scope, of {', '.join(Scope)}.", param="scopes")
    if not 0 < key.weight <= _MOST_WEIGHT:
        raise BadRequest(f"A weight is above 0, and at most {_MOST_WEIGHT:g}.", param="weight")
    for name, value in asdict(key.limits).items():
        if isinstance(value, int) and not 1 <= value <= _MOST_TOKENS:
            raise BadRequest(f"A limit is at least 1, and at most {_MOST_TOKENS}.", param=f"limits.{name}")
    end = key.expires_at if before is None or key.expires_at != before.expires_at else None
    if end is not None and not now() < end <= _LAST_SECOND * 1000:
        raise BadRequest("A key expires in the future, and before the year 10000.", param="expires_at")
