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
from fathom.core.events import Queued
from fathom.core.shortcut import Outlet, Shortcut
from fathom.settings import HttpSettings
from fathom.telemetry import metrics, record

Result = TypeVar("Result")

_APART = b":\n\n"
_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


async def stream(
    request: Request,
    frames: AsyncGenerator[bytes],
    on_error: Callable[[ServiceError], bytes],
    headers: dict[str, str],
    settings: HttpSettings,
    *,
    sign_of_life: bytes = b": keep-alive\n\n",
    shortcut: Shortcut | None = None,
) -> Response:
    """Send frames as they come, and a sign of life (a comment) after every `keep_alive` seconds of silence. A client
    that does not read for `write_timeout` seconds is taken for one that has gone. Frames may come by the shortcut, too.

    What fails before the first frame is raised here, while the status can still tell.
    """
    try:
        first = await unless_gone(request, _first(frames))
    except BaseException:
        await frames.aclose()
        raise
    if first is None:
        await frames.aclose()
        return Response(status_code=499)
    return EventStream(first, frames, on_error, {**_HEADERS, **headers}, settings, sign_of_life, shortcut)


async def _first(frames: AsyncGenerator[bytes]) -> bytes:
    return await anext(frames)


def queued(event: Queued) -> bytes:
    """A comment that says how a request stands in the queue: a sign of life, and no event to any client."""
    wait = "" if event.wait is None else f" wait={event.wait:.1f}"
    return f": queued position={event.position}{wait}\n\n".encode()


class EventStream(Response):
    """Writes frames until they end or the client goes. Nothing is done per frame but writing it.

    Frames go straight to the connection (body.py), past all that looks at headers alone, as long as the client reads.
    uvicorn takes 64 KiB that it has not read, then `send` waits: no more than that lies here for a slow reader.

    Behind a comment, a frame begins with another one: the client of `vllm bench serve` cuts off the blank line of what
    comes alone, and would take what follows for a part of it.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        first: bytes,
        frames: AsyncGenerator[bytes],
        on_error: Callable[[ServiceError], bytes],
        headers: dict[str, str],
        settings: HttpSettings,
        sign_of_life: bytes,
        shortcut: Shortcut | None,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(headers)
        self._first, self._frames, self._on_error, self._sign_of_life = first, frames, on_error, sign_of_life
        self._keep_alive, self._write_timeout = settings.keep_alive, settings.write_timeout
        self._sending, self._since = False, time.monotonic()
        self._commented = False
        self._shortcut = shortcut
        self._body: Outlet | None = None
        self._send: Send

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        self._body, self._send = scope["state"].get("body"), send  # none where an app is tested alone
        if self._shortcut:
            self._shortcut.lead_to(self)
        tasks = [asyncio.create_task(work) for work in (self._say_all(), _gone(receive), self._watch())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _say_all(self) -> None:
        async with aclosing(self._frames) as frames:
            await self._say(self._first)
            try:
                async for frame in frames:
                    if self.open and frame and frame[:1] != b":":
                        self.write(frame)
                    else:
                        await self._say(frame)
            except ServiceError as error:
                await self._say(self._on_error(error))  # the last word: what failed never looks complete
            except Exception:  # a bug of ours: the client still learns that this is no whole stream; the log has it
                await self._say(self._on_error(errors.SURPRISE))
                raise
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    @property
    def open(self) -> bool:
        """Whether a frame that is no comment can be written at once, as it is."""
        return not self._commented and self._body is not None and self._body.open

    def write(self, frame: bytes) -> None:
        assert self._body is not None, "it is open"
        self._body.write(frame)
        self._since = time.monotonic()

    async def _say(self, frame: bytes) -> None:
        """Waits for a client that does not read."""
        if frame:
            commented, self._commented = self._commented, frame[:1] == b":"
            if commented and not self._commented:
                frame = _APART + frame
        self._sending, self._since = True, time.monotonic()
        await self._send({"type": "http.response.body", "body": frame, "more_body": True})
        self._sending, self._since = False, time.monotonic()

    async def _watch(self) -> None:
        """Breaks a silence. Returns when the client does not read."""
        while True:
            passed = time.monotonic() - self._since
            if self._sending and passed >= self._write_timeout:
                break
            if not self._sending and passed >= self._keep_alive:
                try:
                    async with asyncio.timeout(self._write_timeout):
                        await self._say(self._sign_of_life)
                except TimeoutError:
                    break
                passed = 0.0
            left = self._write_timeout - passed if self._sending else self._keep_alive - passed
            await asyncio.sleep(min(left, self._keep_alive, self._write_timeout))
        metrics.STREAMS_UNREAD.inc()
        record.note(unread=True)


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
