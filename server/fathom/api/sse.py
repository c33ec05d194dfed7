"""Server-sent events, and noticing that a client has gone."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from fathom.core.errors import ServiceError

Result = TypeVar("Result")

_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


async def stream(
    frames: AsyncGenerator[bytes], on_error: Callable[[ServiceError], bytes], headers: dict[str, str]
) -> Response:
    """Send frames as they come. What fails before the first frame is raised here, while the status can still tell."""
    try:
        first = await anext(frames)
    except BaseException:
        await frames.aclose()
        raise
    return StreamingResponse(
        _body(first, frames, on_error), media_type="text/event-stream", headers={**_HEADERS, **headers}
    )


async def _body(
    first: bytes, frames: AsyncGenerator[bytes], on_error: Callable[[ServiceError], bytes]
) -> AsyncGenerator[bytes]:
    async with aclosing(frames):
        yield first
        try:
            async for frame in frames:
                yield frame
        except ServiceError as error:
            yield on_error(error)  # and nothing behind it: a stream that failed never looks complete


async def unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result | None:
    """The result of `work`, or None (and `work` cancelled) if the client hangs up first."""
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        for task in (working, watching):
            task.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
