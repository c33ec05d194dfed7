"""What was used: one row for each key, model and day."""

from collections.abc import Mapping
from dataclasses import fields

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from fathom.core.usage import Amounts, Place
from fathom.store.items import can_be_key
from fathom.store.tables import usage

_NAMES = tuple(each.name for each in fields(Amounts))
_ADD = text(
    f"INSERT INTO usage (day, tenant, key, model, {', '.join(_NAMES)})"  # noqa: S608 - names of ours
    f" VALUES (:day, :tenant, :key, :model, {', '.join(':' + name for name in _NAMES)})"
    " ON CONFLICT (day, tenant, key, model) DO UPDATE SET "
    + ", ".join(f"{name} = usage.{name} + excluded.{name}" for name in _NAMES)
)


class UsageRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, used: Mapping[Place, Amounts]) -> None:
        """On top of what is there. In one order, so that servers that write at the same time do not wait in a ring."""
        rows = [
            {"day": place.day, "tenant": place.tenant, "key": place.key, "model": place.model}
            | {name: getattr(amounts, name) for name in _NAMES}
            for place, amounts in sorted(used.items(), key=lambda item: item[0])
        ]
        if rows:
            await self._connection.execute(_ADD, rows)

    async def tokens(self, key: str, since: str) -> int:
        """Of a key, from that day on."""
        spent = func.sum(usage.c.prompt_tokens + usage.c.completion_tokens)
        found = await self._connection.scalar(select(spent).where(usage.c.key == key, usage.c.day >= since))
        return int(found or 0)

    async def between(
        self, first: str, last: str, *, tenant: str | None = None, key: str | None = None
    ) -> list[tuple[Place, Amounts]]:
        """By day, tenant, key and model; `last` is one of them."""
        rows = (
            select(*usage.c["day", "tenant", "key", "model"], *usage.c[_NAMES])
            .where(usage.c.day.between(first, last))
            .order_by(*usage.c["day", "tenant", "key", "model"])
        )
        if not all(can_be_key(name) for name in (tenant, key) if name is not None):
            return []
        if tenant is not None:
            rows = rows.where(usage.c.tenant == tenant)
        if key is not None:
            rows = rows.where(usage.c.key == key)
        found = await self._connection.execute(rows)
        return [(Place(day, tenant, key, model), Amounts(*used)) for day, tenant, key, model, *used in found]
