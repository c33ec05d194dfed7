"""An engine without a model: plays scripted events. For front-end development, unit tests and front-end load tests."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable

from fathom.core.engine import ModelCard, Phase, Progress
from fathom.core.events import Accepted, Event, Finished, ReasoningDelta, TextDelta
from fathom.core.generation import GenerationRequest

Script = Callable[[GenerationRequest], Iterable[Event | Exception]]


def think_then_answer(request: GenerationRequest) -> Iterable[Event]:
    """A short trace, then the last message said back."""
    words = request.messages[-1].content.split()
    yield from (Accepted(prompt_tokens=7), ReasoningDelta("Let me"), ReasoningDelta(" think."))
    yield from (TextDelta(word if at == 0 else f" {word}") for at, word in enumerate(words))
    yield Finished("stop", prompt_tokens=7, completion_tokens=4 + len(words), reasoning_tokens=3)


class ScriptedEngine:
    """`delay`: seconds before each event. `running`, `aborted`: ids of requests that run, and that were cut short."""

    def __init__(self, script: Script = think_then_answer, *, delay: float = 0.0, model: str = "scripted") -> None:
        self.script, self.delay, self.model = script, delay, model
        self.requests: list[GenerationRequest] = []
        self.running: set[str] = set()
        self.aborted: set[str] = set()
        self.death: str | None = None

    async def start(self, progress: Progress) -> ModelCard:
        progress(Phase.WARMING, None)
        return ModelCard(
            id=self.model,
            source="a script",
            profile="plain",
            device="none",
            dtype="none",
            context_length=4096,
            kv_cache_tokens=65536,
            created=int(time.time()),
        )

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Event]:
        self.requests.append(request)
        self.running.add(request.id)
        finished = False
        try:
            for event in self.script(request):
                await asyncio.sleep(self.delay)
                if isinstance(event, Exception):
                    raise event
                finished = isinstance(event, Finished)
                yield event
        finally:
            self.running.discard(request.id)
            if not finished:
                self.aborted.add(request.id)

    def died(self) -> str | None:
        return self.death

    async def stop(self) -> None:
        pass
