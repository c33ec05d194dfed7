"""Who may ask. Requests are judged by keys in memory, which follow the database: so keys cost next to nothing, and go
on working while it is away."""

import asyncio
import time
from contextlib import suppress
from ipaddress import ip_address

import structlog

from fathom.core.clock import now
from fathom.core.errors import StoreUnavailable, Unauthenticated
from fathom.core.key_secret import LENGTH
from fathom.core.tenant import ANYONE, Caller, Scope, Tenant
from fathom.serving.key_ring import KeyRing
from fathom.store.database import Database

log = structlog.get_logger()

EVERY = 0.5
"""Seconds between two looks for keys that others have changed."""

_EVERY_AWAY = 2.0  # while the database does not answer
_STALE = 3.0  # seconds without such a look, after which a key that is not known may be new
_RETRY_AFTER = 5.0

_MISSING = (
    "This server asks for an API key. Send one as Authorization: Bearer KEY, or in x-api-key; `fathom keys create` "
    "makes one."
)
_WRONG = (
    "The API key opens nothing here: it is wrong, was revoked, or has expired. Ask whoever runs the server for another."
)
_CLOSED = Unauthenticated(
    "The API key that asked for this was revoked, or has expired, before it could be made. Send it again with another."
)


def is_loopback(host: str) -> bool:
    """Whether a server that listens there is reached from its own machine alone. Other names than localhost may become
    any address, and so are not."""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


class Access:
    """server: this one's id. trusting: it lets anyone in as long as its database has no keys."""

    def __init__(self, database: Database, server: str, *, trusting: bool) -> None:
        self._database, self._server, self.trusting = database, server, trusting
        self._ring = KeyRing()
        self._revision = 0
        self._looked: float | None = None  # when the database was seen last
        self._stamp: int | None = None  # as it was then
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def open(self) -> bool:
        """Nobody needs a key."""
        return self.trusting and not self._ring.used

    async def start(self) -> None:
        """Read all keys, and follow them in the background. Raises StoreUnavailable."""
        async with self._database.transaction() as work:  # from here on, whoever changes a key waits for us to see it
            await work.servers.go_by_keys(self._server, None, now())
        await self.refresh()
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def caller(self, secret: bytes | None) -> Caller:
        """Whoever sends this. Raises Unauthenticated; and StoreUnavailable where the database must be seen to know."""
        if self._looked is None:
            raise StoreUnavailable(
                "The server's database could not be opened. Try again later.", retry_after=_RETRY_AFTER
            )
        if self.open:
            return ANYONE
        if secret is None:
            raise Unauthenticated(_MISSING)
        if found := self._ring.find(secret):
            return found
        if len(secret) == LENGTH and time.monotonic() - self._looked > _STALE:
            raise StoreUnavailable(
                "The server's database cannot be used at the moment, and the API key is none that was seen before. Try "
                f"again in {_RETRY_AFTER:.0f} seconds.",
                retry_after=_RETRY_AFTER,
            )
        raise Unauthenticated(_WRONG)

    def again(self, key: str | None, tenant: str) -> Caller:
        """Who asked for something earlier, by the id of the key; None: without one, of an open server. Raises
        Unauthenticated if the key would not be let in with it any more."""
        if key is None:
            return Caller(Tenant(tenant))
        found = self._ring.by_id(key)
        if found is None or Scope.INFERENCE not in found.scopes:
            raise _CLOSED.with_traceback(None)
        return found

    async def refresh(self) -> None:
        """See what was changed since the last time, and say so. Raises StoreUnavailable."""
        async with self._turn:
            stamp = self._database.stamp()
            async with self._database.reading() as work:
                last, told = await work.keys.standing(self._server)
                changed = await work.keys.since(self._revision) if last != self._revision else []
            if changed:
                self._ring.put(changed)
            self._revision = last
            self._looked = time.monotonic()
            if told != last:
                async with self._database.transaction() as work:
                    await work.servers.go_by_keys(self._server, last, now())
            self._stamp = stamp

    async def _look(self) -> None:
        """The same, where there can be anything to see."""
        stamp = self._database.stamp()
        if stamp is None or stamp != self._stamp:
            await self.refresh()
        else:
            self._looked = time.monotonic()

    async def _follow(self) -> None:
        pause = EVERY
        while True:
            await asyncio.sleep(pause)
            pause = _EVERY_AWAY
            try:
                await self._look()
                pause = EVERY
            except StoreUnavailable:
                pass  # the log has the reason already
            except Exception:  # a bug of ours must not leave revoked keys open for as long as the server runs
                log.exception("keys")
