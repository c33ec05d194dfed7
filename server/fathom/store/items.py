"""The items of responses: what went in, and what came out."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from sqlalchemy import CTE, Select, Text, func, insert, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection

from fathom.core.errors import PayloadTooLarge
from fathom.store.tables import response_items, responses

Json = dict[str, Any]
Direction = Literal["input", "output"]

_AT_ONCE = 500  # ids in one statement
_LONGEST_ID = 256

MOST_TEXT = 64 << 20
"""Characters of items that one request may stand for: a small one can refer to very many."""


class Items:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, response_id: str, direction: Direction, items: Sequence[Json]) -> None:
        rows = [
            {
                "response_id": response_id,
                "direction": direction,
                "position": position,
                "item_id": item["id"] if can_be_key(item["id"]) else None,
                "data": item,
            }
            for position, item in enumerate(items)
        ]
        if rows:
            await self._connection.execute(insert(response_items), rows)

    async def of(self, response_id: str, direction: Direction) -> list[Json]:
        wanted = (
            select(response_items.c.data)
            .where(response_items.c.response_id == response_id, response_items.c.direction == direction)
            .order_by(response_items.c.position)
        )
        return list(await self._connection.scalars(wanted))

    async def of_all(self, chain: CTE, *, limited: bool) -> dict[tuple[str, Direction], list[Json]]:
        """Of the responses whose ids are in `chain`, by response and direction. Raises PayloadTooLarge."""
        wanted = (
            select(*response_items.c["response_id", "direction", "data"])
            .join(chain, chain.c.id == response_items.c.response_id)
            .order_by(response_items.c.position)
        )
        if limited:
            await self._weigh(wanted)
        found: defaultdict[tuple[str, Direction], list[Json]] = defaultdict(list)
        for response_id, direction, data in await self._connection.execute(wanted):
            found[response_id, direction].append(data)
        return found

    async def named(self, tenant: str, ids: Iterable[str]) -> dict[str, Json]:
        """By their own ids: of those that have the same one, an output, and of these the latest. Raises
        PayloadTooLarge."""
        rank = func.row_number().over(
            partition_by=response_items.c.item_id,
            order_by=(response_items.c.direction.desc(), response_items.c.response_id.desc()),
        )
        ranked = select(*response_items.c["item_id", "data"], rank.label("rank")).join(responses)
        wanted = [id for id in ids if can_be_key(id)]
        found: dict[str, Json] = {}
        weight = 0
        for start in range(0, len(wanted), _AT_ONCE):
            some = response_items.c.item_id.in_(wanted[start : start + _AT_ONCE])
            best = ranked.where(some, responses.c.tenant == tenant).subquery()
            first = select(*best.c["item_id", "data"]).where(best.c.rank == 1)
            weight = await self._weigh(first, weight)
            found |= {id: data for id, data in await self._connection.execute(first)}
        return found

    async def _weigh(self, wanted: Select[Any], weight: int = 0) -> int:
        """Before they are read: how long they are, and `weight` on top."""
        found = wanted.order_by(None).subquery()
        total = await self._connection.scalar(select(func.sum(func.length(type_coerce(found.c.data, Text)))))
        weight += int(total or 0)
        if weight > MOST_TEXT:
            raise PayloadTooLarge(
                f"The stored items that this request stands for hold more than {MOST_TEXT >> 20} MiB. Send what "
                "matters of them as input."
            )
        return weight


def can_be_key(id: str) -> bool:
    """Whether it can be looked up: PostgreSQL knows no NUL, no lone surrogate, and no long keys."""
    return len(id) <= _LONGEST_ID and id.isprintable()
