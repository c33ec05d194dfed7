"""The servers that share this database, and when each was last seen."""

from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from fathom.store.tables import servers

_BEAT = text(
    "INSERT INTO servers (id, seen_at) VALUES (:id, :now) ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at"
)
_GO_BY = text(
    "INSERT INTO servers (id, seen_at, keys_revision) VALUES (:id, :now, :revision)"
    " ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, keys_revision = excluded.keys_revision"
)


class ServerRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def beat(self, id: str, now: int) -> None:
        """`id` is alive. `now` in milliseconds since the epoch."""
        await self._connection.execute(_BEAT, {"id": id, "now": now})

    async def go_by_keys(self, id: str, revision: int | None, now: int) -> None:
        """`id` is alive, and lets in whom the keys of that revision let in. None: it is about to read them."""
        await self._connection.execute(_GO_BY, {"id": id, "revision": revision, "now": now})

    async def behind_with_keys(self, revision: int) -> list[str]:
        """Those that may not go by that revision yet."""
        seen = servers.c.keys_revision
        late = select(servers.c.id).where(seen.is_(None) | (seen < revision)).order_by(servers.c.id)
        return list(await self._connection.scalars(late))

    async def all(self) -> dict[str, int]:
        """When each was last seen."""
        rows = await self._connection.execute(select(servers.c.id, servers.c.seen_at))
        return {id: seen_at for id, seen_at in rows}

    async def remove(self, id: str) -> None:
        await self._connection.execute(delete(servers).where(servers.c.id == id))
