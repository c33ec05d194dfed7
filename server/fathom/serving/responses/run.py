"""One response while it is made in this process: its log of frames, and those who follow it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Literal

import msgspec
import structlog

from fathom.core.errors import EngineUnavailable, NotFound, ServiceError, StoreUnavailable
from fathom.core.events import Event
from fathom.serving.responses.draft import Frame, Json, Transcript
from fathom.store.events import KeptEvent
from fathom.telemetry import record

log = structlog.get_logger()

Ending = Literal["complete", "cancelled", "stopped", "released", "lost"]
"""How a run ended: by itself (failed included), by a client's word or its leaving, with this server, by going back to
the queue before there was any output, or by losing its row to someone else."""

# Raised with_traceback(None): each of these would otherwise keep the frames, and so the data, of all who met it.
STOPPED = ServiceError("The server stopped while it made this response. Send the request again.")
_TAKEN = NotFound("This response was deleted or ended by another request.", param="response_id")
SURPRISE = ServiceError("The server failed on this response. Its log has the details.")


class Run:
    """background: it goes on when nobody follows. begun: output may have been seen. error: why it failed. failure: why
    its end could not be stored.

    Frames become visible to followers in order. The last one does once the store has it. The first output of a
    background run does, too: nobody has seen any of a response that is run again.
    """

    def __init__(self, response_id: str, tenant: str, transcript: Transcript, *, background: bool) -> None:
        self.id, self.tenant, self.transcript, self.background = response_id, tenant, transcript, background
        self.begun = not background
        self.ending: Ending | None = None
        self._asked: Ending | None = None
        self.error: ServiceError | None = None
        self.failure: ServiceError | None = None
        self._log: list[Frame] = []
        self._opening = self._visible = self._saved = 0
        self._news = asyncio.Event()
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._tell: Callable[[], None] = lambda: None
        self._fields: dict[str, object] = {}  # of the log line of a background run: no request is there to have one

    @property
    def ended(self) -> bool:
        """Nothing more is made. The store may not have it yet."""
        return self.ending is not None

    @property
    def over(self) -> bool:
        """Ended, and the store knows, or never will."""
        return self._over.is_set()

    @property
    def told(self) -> bool:
        """Its last frame can be seen."""
        return self.transcript.terminal and self._visible == len(self._log)

    @property
    def dirty(self) -> bool:
        """There is something for the store."""
        return self.ended or self._saved < self.mark

    @property
    def first(self) -> int:
        """Number of its first frame: earlier ones, of an earlier attempt, are in the store."""
        return self._log[0].number

    @property
    def mark(self) -> int:
        """How long the log is now, for `saved`. Its last frame is stored with its end, and not before."""
        return len(self._log) - (self.transcript.terminal and not self.ended)

    @property
    def produces(self) -> bool:
        """There is output in the log."""
        return len(self._log) > self._opening

    @property
    def showable(self) -> bool:
        """Nothing in the transcript waits for the store before it may be told."""
        return not (self.ended or self.transcript.terminal) and (self.begun or not self.produces)

    def unsaved(self) -> list[KeptEvent]:
        """What the store does not have yet."""
        frames = self._log[self._saved : self.mark]
        return [KeptEvent(each.number, each.kind, each.kept) for each in frames if each.kept]

    def open(self, frames: Sequence[Frame]) -> None:
        """Frames that come before any output."""
        self._log += frames
        self._opening = len(self._log)
        self._show(self._opening)

    def start(self, events: AsyncGenerator[Event], tell: Callable[[], None]) -> None:
        """Generate, in a task of its own. `tell` is called when the store should hear of it soon."""
        self._tell = tell
        self._task = asyncio.create_task(self._generate(events))
        self._task.add_done_callback(self._done)

    def stop(self, ending: Ending) -> None:
        """End it, unless it has ended or is about to. It has ended once its last frames are made."""
        if self._task and not self._task.done() and not self._asked:
            self._asked = ending
            self._task.cancel()

    async def stopped(self, ending: Ending) -> None:
        """Stop it, and wait until nothing more is made."""
        self.stop(ending)
        if self._task:
            await asyncio.wait([self._task])

    def saved(self, mark: int, *, begun: bool) -> None:
        """The store has the log up to `mark`."""
        self._saved, self.begun = mark, self.begun or begun
        if self.begun and not self.transcript.terminal:
            self._show(len(self._log))

    def close(self, failure: ServiceError | None = None) -> None:
        """The store has the end of it, or it is certain that it won't (`failure`)."""
        self.failure = failure
        self._over.set()
        whole = self.transcript.terminal and not failure
        self._show(len(self._log) if whole else self._visible)

    def lose(self) -> None:
        """Its row is gone, or was ended by someone else: nobody is told of another end."""
        self.stop("lost")
        self.ending = "lost"
        self._over.set()
        self._show(self._visible)

    async def wait(self) -> None:
        """Until the store has its end. Raises StoreUnavailable if that could not be."""
        await self._over.wait()
        if self.failure:
            raise self.failure.with_traceback(None)

    async def done(self) -> Json:
        """The whole response, for the client that asked for it; whoever cancels this has left. Raises ServiceError if
        it failed."""
        try:
            await self.wait()
        except asyncio.CancelledError:
            self.stop("cancelled")
            raise
        if self.ending == "lost":
            raise _TAKEN.with_traceback(None)
        if self.error:
            raise self.error.with_traceback(None)
        whole: Json = msgspec.json.decode(self._log[-1].data)["response"]
        return whole

    async def frames(self) -> AsyncGenerator[Frame]:
        """The stream, for the client that asked for it; whoever closes this has left."""
        try:
            async with aclosing(self.follow()) as frames:
                async for frame in frames:
                    yield frame
        finally:
            self.stop("cancelled")
        if self.ending == "lost":
            raise _TAKEN.with_traceback(None)

    async def follow(self, after: int = -1) -> AsyncGenerator[Frame]:
        """Those with a number above `after`, as they come. Raises StoreUnavailable if its end could not be stored."""
        at = 0
        while True:
            news = self._news
            while at < self._visible:
                frame = self._log[at]
                at += 1
                if frame.number > after:
                    yield frame
            if self.over and at == self._visible:
                break
            await news.wait()
        if self.failure:
            raise self.failure.with_traceback(None)

    async def _generate(self, events: AsyncGenerator[Event]) -> None:
        if self.background:
            self._fields = record.begin()
        async with aclosing(events):
            async for event in events:
                self._add(self.transcript.take(event))

    def _add(self, frames: Sequence[Frame]) -> None:
        self._log += frames
        if not self.begun:
            self._tell()
        elif not self.transcript.terminal:
            self._show(len(self._log))

    def _done(self, task: "asyncio.Task[None]") -> None:
        if self.ending is None:
            self.ending = self._end(task)
        if self.background:
            log.info("response", response_id=self.id, ending=self.ending, **self._fields)
        self._tell()

    def _end(self, task: "asyncio.Task[None]") -> Ending:
        error = None if task.cancelled() else task.exception()
        if self.transcript.terminal:  # it was only cleaning up, and there is one end
            return "complete"
        if task.cancelled():
            if self._asked == "cancelled":
                self._add(self.transcript.cancel())
            elif self._asked == "stopped":
                self._add(self.transcript.fail(STOPPED))
            return self._asked or "lost"
        if isinstance(error, EngineUnavailable | StoreUnavailable) and self.background and not self.produces:
            return "released"
        self._fail(error or SURPRISE)
        return "complete"

    def _fail(self, error: BaseException) -> None:
        if not isinstance(error, ServiceError):
            log.error("response failed", response_id=self.id, exc_info=error)
        self.error = error if isinstance(error, ServiceError) else SURPRISE
        self._add(self.transcript.fail(self.error))

    def _show(self, until: int) -> None:
        self._visible = until
        self._news.set()
        self._news = asyncio.Event()
