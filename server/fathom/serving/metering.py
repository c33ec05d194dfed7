"""What one generation is seen to be: its times and tokens, in the metrics, the log line, the ledger and its turn."""

import time

from fathom.core.errors import ServiceError
from fathom.core.events import (
    Accepted,
    Echo,
    Event,
    Finished,
    FinishReason,
    Queued,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
)
from fathom.core.generation import GenerationRequest
from fathom.core.usage import Amounts
from fathom.serving.admission import Entry
from fathom.serving.deadline import Deadline
from fathom.serving.usage import Ledger
from fathom.telemetry import metrics, record

_BEFORE_TOKENS = (Accepted, Echo)
_CACHED, _UNCACHED = (metrics.PROMPT_TOKENS.labels(cached=cached) for cached in ("true", "false"))


class Meter:
    """produces: a piece has come."""

    def __init__(self, request: GenerationRequest, deadline: Deadline, ledger: Ledger) -> None:
        self._request, self._deadline, self._ledger = request, deadline, ledger
        self._tenant = metrics.tokens_of(request.caller.tenant.id)
        self._entry: Entry
        self._used, self._thought = Amounts(), 0
        self._began = time.perf_counter()
        self._waited = self.produces = False
        self._reason: FinishReason | None = None
        self._last: dict[int, float] = {}  # of each choice, when its last piece came
        self._answered: set[int] = set()

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if self._used.requests:
            self._used.completion_tokens = self._entry.tokens
            if self._reason is None:  # it was left or failed in the middle: its pieces are counted
                self._used.reasoning_tokens = self._thought
            self._ledger.add(self._request.caller, self._request.adapter, self._used)
        outcome = self._reason or "aborted"  # what it is when nobody says otherwise: the client went away
        record.note(outcome=error.code or error.type if isinstance(error, ServiceError) else outcome)

    def tokens(self) -> int:
        """So far, of prompt and completion; nothing as long as the engine has not accepted it."""
        return self._used.prompt_tokens + self._entry.tokens if self._used.requests else 0

    def queued(self, event: Queued) -> Queued:
        """It has to wait. The record has what it was told first."""
        if not self._waited:
            self._waited = True
            record.note(queue_position=event.position)
            if event.wait is not None:
                record.note(queue_expected_ms=round(event.wait * 1000))
        return event

    def entered(self, entry: Entry) -> None:
        """Its turn has come."""
        self._entry = entry
        if self._waited:
            record.note(queue_ms=round(entry.waited * 1000))

    def see(self, event: Event) -> None:
        if not self.produces and not isinstance(event, _BEFORE_TOKENS):
            self.produces = True
            self._deadline.produces()
            self._entry.read()
        match event:
            case TextDelta() | ToolCallDelta():
                self._piece(event.choice)
                if event.choice not in self._answered:
                    self._answer(event.choice)
            case ReasoningDelta():
                self._thought += 1
                self._piece(event.choice)
            case Accepted(prompt_tokens):
                record.add(prompt_tokens=prompt_tokens)
                self._used.requests, self._used.prompt_tokens = 1, prompt_tokens
                self._entry.come()
            case ToolCallStart():
                metrics.TOOL_CALLS.inc()
                if event.choice not in self._answered:
                    self._answer(event.choice)
            case Finished():
                self._finish(event)

    def _piece(self, choice: int) -> None:
        self._entry.produce()
        now = time.perf_counter()
        last, self._last[choice] = self._last.get(choice), now
        if last is not None:
            metrics.INTER_TOKEN_LATENCY.observe(now - last)
        elif len(self._last) == 1:
            metrics.TIME_TO_FIRST_TOKEN.observe(now - self._began)
            record.note(ttft_ms=round((now - self._began) * 1000, 1))

    def _answer(self, choice: int) -> None:
        """Its answer begins."""
        self._answered.add(choice)
        metrics.TIME_TO_FIRST_ANSWER_TOKEN.observe(time.perf_counter() - self._began)

    def _finish(self, event: Finished) -> None:
        self._entry.finish(event)
        if self._reason is None:  # the prompt is counted once, with the first choice that ends
            self._count_prompt(event)
        self._reason = event.reason
        self._used.reasoning_tokens += event.reasoning_tokens
        metrics.COMPLETION_TOKENS.inc(event.completion_tokens)
        self._tenant.completion.inc(event.completion_tokens)
        metrics.REASONING_TOKENS.inc(event.reasoning_tokens)
        metrics.REASONING_BUDGET_EXHAUSTED.inc(event.budget_exhausted)
        metrics.REASONING_TRUNCATED.inc(event.trace_cut)
        record.add(completion_tokens=event.completion_tokens, reasoning_tokens=event.reasoning_tokens)

    def _count_prompt(self, event: Finished) -> None:
        _CACHED.inc(event.cached_tokens)
        _UNCACHED.inc(event.prompt_tokens - event.cached_tokens)
        self._tenant.prompt.inc(event.prompt_tokens)
        record.add(cached_tokens=event.cached_tokens)
        self._used.cached_tokens = event.cached_tokens
