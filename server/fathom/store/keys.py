"""Keys: who may ask, for what, and how much. Of their secrets, hashes are kept and nothing else."""

from dataclasses import asdict, dataclass, fields
from typing import Any

import msgspec
from sqlalchemy import Row, Select, exists, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from fathom.core.tenant import Limits, Scope
from fathom.store.items import can_be_key
from fathom.store.tables import keys, revisions


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A row. Times are milliseconds since the epoch.

    prefix: how its secret begins, for people who look for it. hash: of the secret. old_hash: of the one before, which
    opens until `old_until`. revision: the number of its last change, among those of all keys.
    """

    id: str
    tenant: str
    name: str
    prefix: str
    hash: bytes
    scopes: frozenset[Scope]
    weight: float
    limits: Limits
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    old_hash: bytes | None = None
    old_until: int | None = None
    revision: int = 0


_STANDING = text(
    "SELECT number, (SELECT keys_revision FROM servers WHERE id = :server) FROM revisions WHERE name = 'keys'"
)
_COLUMNS = [each.name for each in fields(StoredKey)]


class KeyRepository:
    """Takes part in its caller's unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def next_revision(self) -> int:
        """The number of the change that this unit of work makes. Nobody else changes a key until it ends: so numbers
        become visible in their order, and whoever has seen one has seen all before it."""
        counter = revisions.c.name == "keys"
        await self._connection.execute(update(revisions).where(counter).values(number=revisions.c.number + 1))
        number: int = (await self._connection.execute(select(revisions.c.number).where(counter))).scalar_one()
        return number

    async def add(self, key: StoredKey) -> None:
        await self._connection.execute(insert(keys).values(_values(key)))

    async def put(self, key: StoredKey) -> None:
        """In the place of the one with its id."""
        await self._connection.execute(update(keys).where(keys.c.id == key.id).values(_values(key)))

    async def get(self, id: str) -> StoredKey | None:
        if not can_be_key(id):
            return None
        found = await self._select(_rows().where(keys.c.id == id))
        return found[0] if found else None

    async def any(self) -> bool:
        """Whether there was ever one: they are revoked, and not deleted."""
        return bool(await self._connection.scalar(select(exists().where(keys.c.id.is_not(None)))))

    async def standing(self, server: str) -> tuple[int, int | None]:
        """The number of the last change; and what `server` said last that it goes by. One statement, since it is asked
        all the time."""
        last, told = (await self._connection.execute(_STANDING, {"server": server})).one()
        return last, told

    async def since(self, revision: int) -> list[StoredKey]:
        """Those that were changed later, in the order of their changes."""
        return await self._select(_rows().where(keys.c.revision > revision).order_by(keys.c.revision))

    async def page(self, *, after: str = "", limit: int | None = None, tenant: str | None = None) -> list[StoredKey]:
        """Oldest first, from behind the one with the id `after`."""
        if not can_be_key(after) or not can_be_key(tenant or ""):
            return []
        wanted = _rows().where(keys.c.id > after).order_by(keys.c.id).limit(limit)
        return await self._select(wanted if tenant is None else wanted.where(keys.c.tenant == tenant))

    async def _select(self, query: Select[Any]) -> list[StoredKey]:
        return [_key(row) for row in await self._connection.execute(query)]


def _rows() -> Select[Any]:
    return select(*keys.c[*_COLUMNS])


def _values(key: StoredKey) -> dict[str, Any]:
    limits = {name: value for name, value in asdict(key.limits).items() if value is not None}
    return {name: getattr(key, name) for name in _COLUMNS} | {"scopes": sorted(key.scopes), "limits": limits}


def _key(row: Row[Any]) -> StoredKey:
    """A scope that this server does not know opens nothing here."""
    scopes = frozenset(scope for scope in Scope if scope in row.scopes)
    return StoredKey(**{**row._mapping, "scopes": scopes, "limits": msgspec.convert(row.limits, Limits)})
