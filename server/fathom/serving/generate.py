"""The single generation path: every dialect's request goes through here, engine-ward and back, and is metered."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Protocol

from fathom.core.errors import ServiceError
from fathom.core.events import Accepted, Echo, Event, Finished, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStart
from fathom.core.generation import GenerationRequest
from fathom.serving.live import Live
from fathom.settings import LimitSettings
from fathom.telemetry import metrics, record


class Streams(Protocol):
    def stream(self, request: GenerationRequest) -> AsyncGenerator[Event]: ...


class Generate(Live):
    def __init__(self, engine: Streams, limits: LimitSettings | None = None) -> None:
        super().__init__(limits)
        self._engine = engine

    async def __call__(self, request: GenerationRequest) -> AsyncGenerator[Event]:
        """Events of one request, Accepted first. Closing the generator aborts it. Raises ServiceError."""
        meter = _Meter()
        with self.deadline(request.timeout, patient=request.patient) as deadline:
            try:
                async with aclosing(self._engine.stream(request)) as events:
                    deadline.work, step = events, partial(anext, events, None)
                    while event := await deadline.wait(step):
                        if deadline.queued and not isinstance(event, (Accepted, Echo)):
                            deadline.produces()
                        meter.see(event)
                        yield event
            except ServiceError as error:
                meter.outcome = error.code or error.type
                raise
            finally:
                meter.close()


class _Meter:
    def __init__(self) -> None:
        self.outcome = "aborted"  # what it is when nobody says otherwise: the client went away
        self._began = time.perf_counter()
        self._last: dict[int, float] = {}  # of each choice, when its last piece came
        self._answered: set[int] = set()

    def see(self, event: Event) -> None:
        match event:
            case Accepted(prompt_tokens):
                record.add(prompt_tokens=prompt_tokens)
            case ReasoningDelta():
                self._piece(event.choice)
            case TextDelta() | ToolCallDelta():
                self._piece(event.choice)
                self._answer(event.choice)
            case ToolCallStart():
                metrics.TOOL_CALLS.inc()
                self._answer(event.choice)
            case Finished():
                self._finish(event)

    def close(self) -> None:
        record.note(outcome=self.outcome)

    def _piece(self, choice: int) -> None:
        now = time.perf_counter()
        if choice in self._last:
            metrics.INTER_TOKEN_LATENCY.observe(now - self._last[choice])
        elif not self._last:
            metrics.TIME_TO_FIRST_TOKEN.observe(now - self._began)
            record.note(ttft_ms=round((now - self._began) * 1000, 1))
        self._last[choice] = now

    def _answer(self, choice: int) -> None:
        if choice not in self._answered:
            self._answered.add(choice)
            metrics.TIME_TO_FIRST_ANSWER_TOKEN.observe(time.perf_counter() - self._began)

    def _finish(self, event: Finished) -> None:
        if self.outcome == "aborted":  # the prompt is counted once, with the first choice that ends
            metrics.PROMPT_TOKENS.labels(cached="true").inc(event.cached_tokens)
            metrics.PROMPT_TOKENS.labels(cached="false").inc(event.prompt_tokens - event.cached_tokens)
            record.add(cached_tokens=event.cached_tokens)
        self.outcome = event.reason
        metrics.COMPLETION_TOKENS.inc(event.completion_tokens)
        metrics.REASONING_TOKENS.inc(event.reasoning_tokens)
        metrics.REASONING_BUDGET_EXHAUSTED.inc(event.budget_exhausted)
        metrics.REASONING_TRUNCATED.inc(event.trace_cut)
        record.add(completion_tokens=event.completion_tokens, reasoning_tokens=event.reasoning_tokens)
