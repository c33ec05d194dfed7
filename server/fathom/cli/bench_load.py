"""The load of a benchmark: so many streams at a time, each of which asks again as soon as it is answered."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fathom.cli.bench_client import BenchClient
from fathom.cli.bench_plan import Plan
from fathom.cli.bench_stream import Answer
from fathom.cli.wire import NoAnswer
from fathom.core.errors import StartupError


@dataclass(slots=True)
class Level:
    """What came of so many streams at a time. seconds: from the first request to the end of the last that ended. busy:
    CPU seconds that the benchmark itself took."""

    streams: int
    requests: int
    answers: list[Answer] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    busy: float = 0.0

    @property
    def ended(self) -> int:
        return len(self.answers) + len(self.failures)


Show = Callable[[Level], None]
"""Is told of a level when it begins, and whenever a request of it has ended."""


class Load:
    """`levels`: those that have begun, also when the run was cut short. `model`: None takes the server's first one."""

    def __init__(self, client: BenchClient, plan: Plan, model: str | None, show: Show) -> None:
        self.levels: list[Level] = []
        self.model = model or ""
        self._client, self._plan, self._show = client, plan, show

    async def run(self) -> None:
        """Raises StartupError where there is nothing to measure."""
        try:
            await self._pick_model()
            bodies = self._plan.bodies(self.model)
            await self._warm_up(bodies)
            for streams in self._plan.levels:
                await self._run_level(Level(streams, self._plan.requests_at(streams)), bodies)
        finally:
            await self._client.close()

    async def _pick_model(self) -> None:
        """A server that has no list of models is taken at the user's word."""
        served = await self._client.models(needed=not self.model)
        if served and self.model not in ("", *served):
            listed = ", ".join(served)
            raise StartupError(f"the server at {self._client.url} serves {listed}, and not {self.model}; see --model")
        if not (served or self.model):
            raise StartupError(f"the server at {self._client.url} serves no model; name one with --model")
        self.model = self.model or served[0]

    async def _warm_up(self, bodies: Iterator[dict[str, Any]]) -> None:
        """It also finds out what no request would be answered for."""
        level = Level(min(self._plan.warm_up, max(self._plan.levels)), self._plan.warm_up)
        await self._ask_all(level, bodies, lambda _level: None)
        if level.failures and not level.answers:
            raise StartupError(f"the first request to {self._client.url} failed: {level.failures[0]}")

    async def _run_level(self, level: Level, bodies: Iterator[dict[str, Any]]) -> None:
        self.levels.append(level)
        self._show(level)
        await self._ask_all(level, bodies, self._show)

    async def _ask_all(self, level: Level, bodies: Iterator[dict[str, Any]], show: Show) -> None:
        began, busy = time.perf_counter(), time.process_time()
        numbers = iter(range(level.requests))

        async def stream() -> None:
            for _ in numbers:
                await self._ask(level, next(bodies))
                level.seconds, level.busy = time.perf_counter() - began, time.process_time() - busy
                show(level)

        async with asyncio.TaskGroup() as streams:
            for _ in range(level.streams):
                streams.create_task(stream())

    async def _ask(self, level: Level, body: dict[str, Any]) -> None:
        try:
            level.answers.append(await self._client.measure(body))
        except NoAnswer as error:
            level.failures.append(str(error))
