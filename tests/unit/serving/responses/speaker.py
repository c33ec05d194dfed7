"""An engine that says what the test tells it to, and when."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator

from fathom.core.engine import Prepared
from fathom.core.errors import EngineUnavailable, Unauthenticated
from fathom.core.events import Accepted, Event, Finished, ReasoningDelta, TextDelta
from fathom.core.generation import GenerationRequest, Text
from fathom.core.tenant import Caller, Tenant

END = Finished("stop", 1, 1)


class Speaker:
    """asked: prompts by the id of the generation, callers: whose they were. running, aborted: ids of responses. closed:
    ids of keys that open nothing any more."""

    def __init__(self) -> None:
        self.asked: dict[str, str] = {}
        self.callers: dict[str, Caller] = {}
        self.closed: set[str] = set()
        self.running: list[str] = []
        self.aborted: list[str] = []
        self.ready, self.leaving = True, False
        self._lines: defaultdict[str, asyncio.Queue[Event | Exception | None]] = defaultdict(asyncio.Queue)

    def say(self, id: str, *words: str) -> None:
        for word in words:
            self._lines[id].put_nowait(TextDelta(word))

    def think(self, id: str, thought: str) -> None:
        self._lines[id].put_nowait(ReasoningDelta(thought))

    def end(self, id: str) -> None:
        self._lines[id].put_nowait(END)

    def fail(self, id: str, error: Exception) -> None:
        self._lines[id].put_nowait(error)

    def hang_up(self, id: str) -> None:
        self._lines[id].put_nowait(None)

    def caller(self, key: str | None, tenant: str) -> Caller:
        if key in self.closed:
            raise Unauthenticated(f"{key} is closed.")
        return Caller(Tenant(tenant), key)

    async def prepare(self, request: GenerationRequest) -> Prepared:
        if not self.ready:
            raise EngineUnavailable("The engine is not ready.")
        return Prepared(request, 1, 100)

    async def stream(self, prepared: Prepared) -> AsyncGenerator[Event]:
        request = prepared.request
        assert isinstance(request.prompt, Text)
        id = request.id.partition("-")[0]
        self.asked[request.id], self.callers[request.id] = request.prompt.text, request.caller
        self.running.append(id)
        ended = False
        try:
            yield Accepted(1)
            while not ended:
                event = await self._lines[id].get()
                if event is None:
                    return
                if isinstance(event, Exception):
                    raise event
                ended = event is END
                yield event
        finally:
            self.running.remove(id)
            if not ended:
                self.aborted.append(id)
