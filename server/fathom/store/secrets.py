"""Keys that the server made for itself, shared by all servers of one database."""

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from fathom.store.tables import secrets

_ADD = text("INSERT INTO secrets (name, value) VALUES (:name, :value) ON CONFLICT DO NOTHING")


class SecretRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get_or_add(self, name: str, value: bytes) -> bytes:
        """The secret of that name; if there is none yet, `value` becomes it."""
        await self._connection.execute(_ADD, {"name": name, "value": value})
        kept = await self._connection.execute(select(secrets.c.value).where(secrets.c.name == name))
        return bytes(kept.scalar_one())
