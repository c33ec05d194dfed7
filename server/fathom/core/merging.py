"""Several streams as one, in the order in which their items come."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")

_AHEAD = 16  # items that wait for a slow consumer


@dataclass(frozen=True, slots=True)
class _Came(Generic[Item]):
    item: Item


@dataclass(frozen=True, slots=True)
class _Ended:
    error: Exception | None


def merge(streams: Sequence[AsyncGenerator[Item]]) -> AsyncGenerator[Item]:
    """Items of all `streams` as they come; ends when all have ended. One is handed on as it is: every generator that an
    item passes costs.

    The first failure is raised, and closes the others, as does a consumer that leaves.
    """
    return streams[0] if len(streams) == 1 else _merged(streams)


async def _merged(streams: Sequence[AsyncGenerator[Item]]) -> AsyncGenerator[Item]:
    queue: asyncio.Queue[_Came[Item] | _Ended] = asyncio.Queue(_AHEAD)
    tasks = [asyncio.create_task(_pour(stream, queue)) for stream in streams]
    running = len(tasks)
    try:
        while running:
            match await queue.get():
                case _Came(item):
                    yield item
                case _Ended(None):
                    running -= 1
                case _Ended(Exception() as error):
                    raise error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pour(stream: AsyncGenerator[Item], queue: "asyncio.Queue[_Came[Item] | _Ended]") -> None:
    error: Exception | None = None
    try:
        async with aclosing(stream):
            async for item in stream:
                await queue.put(_Came(item))
    except Exception as caught:  # noqa: BLE001 - whatever it is, it belongs to the one who reads the merged stream
        error = caught
    await queue.put(_Ended(error))
