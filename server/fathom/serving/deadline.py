"""How long a request may take, and ending it from outside: by its deadlines, or with the server."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from fathom.core.errors import DeadlineExceeded, RequestTimeout, ServiceError
from fathom.settings import LimitSettings
from fathom.telemetry import metrics

Result = TypeVar("Result")

PARAM = "x-request-timeout"
"""The header in which a client says how many seconds it gives."""


class Deadline:
    """What one request waits for, one thing at a time, in whichever task. It is asyncio.timeout for async generators,
    whose steps several tasks may take; and per step it costs no timer.

    timeout: seconds that the client gives. patient: nobody waits for its first token. `queued`: somebody still does.
    `work`: closed at the end while nothing is waited for, because the client does not read.
    """

    def __init__(self, limits: LimitSettings, timeout: float | None = None, *, patient: bool = False) -> None:
        self._error: ServiceError | None = None
        self._waits: asyncio.Task[object] | None = None
        self._closing: asyncio.Task[None] | None = None
        self.work: AsyncGenerator[object] | None = None
        self._loop = asyncio.get_running_loop()
        self._timers = [self._at("total", limits.total_timeout, _too_slow(limits.total_timeout))]
        if timeout is not None and timeout < limits.total_timeout:
            self._timers.append(self._at("client", timeout, _client_gave(timeout)))
        self.queued = not patient
        if self.queued:
            self._queue = self._at("queue", limits.queue_timeout, _no_token(limits.queue_timeout))

    async def wait(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Its result. Raises the error that the request was ended with."""
        if self._closing:
            await self._closing
        if self._error:  # ended while nothing was waited for
            raise self._error.with_traceback(None)
        task = asyncio.current_task(self._loop)
        assert task is not None
        before = task.cancelling()
        self._waits = task
        try:
            return await work()
        except asyncio.CancelledError:
            if self._error is None or task.uncancel() > before:  # someone else cancels it
                raise
            raise self._error.with_traceback(None) from None
        finally:
            self._waits = None

    def produces(self) -> None:
        """The first token is there."""
        if self.queued:
            self.queued = False
            self._queue.cancel()

    def end(self, error: ServiceError) -> None:
        """Whatever it waits for is cancelled, and `wait` raises this."""
        if self._error is None:
            self._error = error
            if self._waits:
                self._waits.cancel()
            elif self.work:
                self._closing = asyncio.create_task(_close(self.work))

    def close(self) -> None:
        """The request is over."""
        self.produces()
        for timer in self._timers:
            timer.cancel()

    def _at(self, limit: str, seconds: float, error: ServiceError) -> asyncio.TimerHandle:
        return self._loop.call_later(seconds, self._pass, limit, error)

    def _pass(self, limit: str, error: ServiceError) -> None:
        metrics.DEADLINES_EXCEEDED.labels(limit=limit).inc()
        self.end(error)


async def _close(work: AsyncGenerator[object]) -> None:
    with suppress(RuntimeError):  # it was taken up again just then, and finds the error by itself
        await work.aclose()


def _too_slow(seconds: float) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"The request took longer than the {seconds:g} s that this server gives (limits.total_timeout). Ask for fewer "
        "tokens, or raise the limit."
    )


def _no_token(seconds: float) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"No token came within the {seconds:g} s that this server gives (limits.queue_timeout): it is busy, or the "
        "prompt is long. Try again later, or raise the limit."
    )


def _client_gave(seconds: float) -> RequestTimeout:
    return RequestTimeout(
        f"The request took longer than the {seconds:g} s that it gave in {PARAM}. Give it more, or "
        "ask for fewer tokens.",
        param=PARAM,
    )
