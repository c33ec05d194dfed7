"""How a response's stream is kept: in segments, each some events in a row, packed and compressed."""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from fathom.store.tables import response_events


class KeptEvent(NamedTuple):
    """number: its sequence number. kind: the event's type. data: its JSON."""

    number: int
    kind: str
    data: bytes


_APPEND = text(
    "INSERT INTO response_events (response_id, first, last, data) VALUES (:response_id, :first, :last, :data)"
    " ON CONFLICT (response_id, first) DO UPDATE SET last = excluded.last, data = excluded.data"
)  # the conflict is with itself: a commit that was not answered may have been one, and is written again, with more
_LEVEL = 1  # events repeat themselves so much that more work saves little
_decoder = msgspec.msgpack.Decoder(list[KeptEvent])


def unpack(segment: bytes) -> list[KeptEvent]:
    """Raises zlib.error or msgspec.DecodeError if it is damaged."""
    return _decoder.decode(zlib.decompress(segment))


class EventLog:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def append(self, response_id: str, events: Sequence[KeptEvent]) -> None:
        """One segment; nothing where there are no events."""
        if not events:
            return
        data = zlib.compress(msgspec.msgpack.encode(events), _LEVEL)
        segment = {"response_id": response_id, "first": events[0].number, "last": events[-1].number, "data": data}
        await self._connection.execute(_APPEND, segment)

    async def after(self, response_id: str, number: int) -> list[KeptEvent]:
        segments = (
            select(response_events.c.data)
            .where(response_events.c.response_id == response_id, response_events.c.last > number)
            .order_by(response_events.c.first)
        )
        kept = await self._connection.scalars(segments)
        return [event for segment in kept for event in unpack(segment) if event.number > number]
