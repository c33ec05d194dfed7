"""A response's frames as server-sent events, and where they come from if nothing is kept."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from fathom.api import sse
from fathom.api.fields import printable
from fathom.api.openai.responses.transcript import ResponseTranscript
from fathom.core.errors import ServiceError
from fathom.core.events import Event, Queued
from fathom.serving.responses.draft import Frame
from fathom.serving.responses.run import Run

_OPENING = b": resumed\n\n"


class FrameStream:
    """Frames as they are sent. resumed: to a later reader, who sees what is kept, and may have to wait for it."""

    def __init__(self, frames: AsyncGenerator[Queued | Frame], *, resumed: bool = False) -> None:
        self._frames, self._resumed, self._next = frames, resumed, 0

    async def events(self) -> AsyncGenerator[bytes]:
        if self._resumed:
            yield _OPENING
        async with aclosing(self._frames) as frames:
            async for frame in frames:
                if isinstance(frame, Queued):
                    yield sse.queued(frame)
                    continue
                self._next = frame.number + 1
                data = frame.kept if self._resumed else frame.data
                if data is not None:
                    yield _event(frame.kind, data)

    def error(self, error: ServiceError) -> bytes:
        """Where the stream breaks off: the response may go on, or have an end that could not be stored."""
        said = {"code": error.code, "message": printable(error.message, 1000), "param": error.param}
        return _event("error", msgspec.json.encode({"type": "error", **said, "sequence_number": self._next}))


async def stored(beginning: AsyncGenerator[Queued | Run]) -> AsyncGenerator[Queued | Frame]:
    """Of a response that is kept, once it has begun."""
    run: Run | None = None
    async with aclosing(beginning):
        async for told in beginning:
            if isinstance(told, Queued):
                yield told
            else:
                run = told
    assert run, "a beginning ends with a run, or raises"
    async with aclosing(run.frames()) as frames:
        async for frame in frames:
            yield frame


async def unstored(transcript: ResponseTranscript, events: AsyncGenerator[Event]) -> AsyncGenerator[Queued | Frame]:
    """Of a response that nobody keeps. What fails before the engine has accepted it is raised."""
    async with aclosing(events):
        while isinstance(accepted := await anext(events), Queued):
            yield accepted
        for frame in (*transcript.created(), *transcript.started(), *transcript.take(accepted)):
            yield frame
        try:
            async for event in events:
                for frame in transcript.take(event):
                    yield frame
        except ServiceError as error:
            for frame in transcript.fail(error):
                yield frame
        assert transcript.terminal, "an engine ends with Finished, or raises"


async def last(frames: AsyncGenerator[Queued | Frame]) -> bool:
    """Wait for it."""
    async with aclosing(frames):
        async for _ in frames:
            pass
    return True


def _event(kind: str, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
