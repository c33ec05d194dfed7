"""Server-sent events, and noticing that a client has gone."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fathom.api import errors
from fathom.core.errors import ServiceError

Result = TypeVar("Result")

_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


async def stream(
    frames: AsyncGenerator[bytes],
    on_error: Callable[[ServiceError], bytes],
    headers: dict[str, str],
    *,
    keep_alive: float,
    sign_of_life: bytes = b": keep-alive\n\n",
) -> Response:
    """Send frames as they come, and a sign of life (a comment) after every `keep_alive` seconds of silence.

    What fails before the first frame is raised here, while the status can still tell.
    """
    try:
        first = await anext(frames)
    except BaseException:
        await frames.aclose()
        raise
    return EventStream(_body(first, frames, on_error), {**_HEADERS, **headers}, keep_alive, sign_of_life)


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
        except Exception:  # a bug of ours: the client still learns that this is no whole stream, and the log has it
            yield on_error(errors.SURPRISE)
            raise


class EventStream(Response):
    """Writes a body of events until it ends or the client goes. Nothing is done per frame but sending it."""

    media_type = "text/event-stream"

    def __init__(
        self, body: AsyncGenerator[bytes], headers: dict[str, str], keep_alive: float, sign_of_life: bytes
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(headers)
        self._body, self._keep_alive, self._sign_of_life = body, keep_alive, sign_of_life
        self._sent = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        tasks = [asyncio.create_task(work) for work in (self._write(send), _gone(receive))]
        living = asyncio.create_task(self._live(send))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (*tasks, living):
                task.cancel()
            await asyncio.gather(*tasks, living, return_exceptions=True)

    async def _write(self, send: Send) -> None:
        async with aclosing(self._body) as body:
            async for frame in body:
                await send({"type": "http.response.body", "body": frame, "more_body": True})
                self._sent = time.monotonic()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _live(self, send: Send) -> None:
        while True:
            silent = time.monotonic() - self._sent
            if silent >= self._keep_alive:
                await send({"type": "http.response.body", "body": self._sign_of_life, "more_body": True})
                self._sent = time.monotonic()
                silent = 0.0
            await asyncio.sleep(self._keep_alive - silent)


async def unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result | None:
    """The result of `work`, or None (and `work` cancelled) if the client hangs up first."""
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_gone(request.receive))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
