"""Whose turn it is: requests wait here and not in the engine, which gets what it can batch (docs/fairness.md)."""

import asyncio
import time
from functools import partial
from types import TracebackType

from fathom.core.engine import Prepared
from fathom.core.events import Finished, Queued
from fathom.core.generation import GenerationRequest
from fathom.serving.capacity import Capacity, Room
from fathom.serving.fair_queue import OUTPUT_WEIGHT, PROMPT_WEIGHT, TIERS, FairQueue, Line, Ticket
from fathom.serving.overload import Overload
from fathom.serving.pace import Pace
from fathom.settings import LimitSettings
from fathom.telemetry import metrics

_WAITS = {tier: metrics.QUEUE_WAIT.labels(tier=tier) for tier in TIERS}

_CREDIT = 2.0  # seconds of the engine: a burst of a tenant that sends little

_LUMP = 8  # tokens that are charged together: counting is cheaper than charging

_LOOK_EVERY = 0.05  # seconds, as long as requests wait


class Admission:
    """served: what the engine did for all, as it is charged."""

    def __init__(self, limits: LimitSettings, engine: Room) -> None:
        self._queue: FairQueue[Entry] = FairQueue(fair=limits.fair)
        self._capacity = Capacity(engine)
        self._pace = Pace()
        self._overload = Overload(limits, self._queue, self._pace)
        self._look: asyncio.TimerHandle | None = None
        self.served = 0.0
        for band in self._queue.bands:
            metrics.QUEUE_REQUESTS.labels(tier=band.tier).set_function(partial(getattr, band, "requests"))

    def check(self, request: GenerationRequest) -> None:
        """Whether it may wait, if it has to, as far as that can be told before anything is spent on it. Raises
        Overloaded and RateLimitExceeded."""
        line = self._queue.line(request.caller, request.tier)
        if self._queue.next and not request.patient and not self._passes(line):
            self._overload.check(request, line)

    def enter(self, prepared: Prepared) -> "Entry":
        """Its turn may come at once. Raises Overloaded and RateLimitExceeded if it had to wait, and must not."""
        request = prepared.request
        entry = Entry(self, prepared, self._queue.line(request.caller, request.tier))
        waits = self._queue.next or not self._capacity.fits(entry)
        if waits and self._passes(entry.line) and self._fits(entry):
            self._queue.lift(entry.line)
            self._start(entry)
            return entry
        if waits and not request.patient:
            self._overload.check(request, entry.line, entry.prompt_tokens, entry.cost)
        self._queue.add(entry, entry.line)
        self._call()
        return entry

    def _call(self) -> None:
        """Call whose turn it is, as long as there is room."""
        while (entry := self._queue.next) and self._fits(entry):
            self._queue.remove(entry, entry.line)
            self._start(entry)
        self._pace.see(self.served, waiting=entry is not None)
        self._queue.give_credit(_CREDIT * (self._pace.rate or 0.0))
        if entry and self._capacity.frees_itself:
            self._look_again()

    def _passes(self, line: "Line[Entry]") -> bool:
        """Whether one that comes now is next, and there is a place that it may take."""
        if line.requests or (self._queue.next and not self._queue.leads(line)):
            return False
        return self._capacity.has_place() or (self._capacity.has_place(last=True) and self._may_have_last(line))

    def _fits(self, entry: "Entry") -> bool:
        return self._capacity.fits(entry) or (self._capacity.fits(entry, last=True) and self._may_have_last(entry.line))

    def _may_have_last(self, line: "Line[Entry]") -> bool:
        """One of the last places: beside others that wait, if it is owed them; else if it holds less than half of what
        it might."""
        return line.running < self._capacity.places / 2 if self._queue.alone(line) else self._queue.owed(line)

    def _start(self, entry: "Entry") -> None:
        self._capacity.take(entry)
        entry.line.running += entry.choices
        entry.charge(PROMPT_WEIGHT * entry.prompt_tokens)
        entry.call()

    def come(self, entry: "Entry") -> None:
        """The engine has it."""
        self._capacity.come(entry)

    def read(self, entry: "Entry") -> None:
        """The engine has read its prompt."""
        self._capacity.read(entry)

    def leave(self, entry: "Entry") -> None:
        """It is over, or was given up before its turn."""
        if entry.called:
            entry.settle()
            entry.line.running -= entry.choices
            self._capacity.give_back(entry)
        else:
            self._queue.remove(entry, entry.line)
        self._call()

    def forecast(self, entry: "Entry") -> Queued:
        """How it stands in the queue."""
        ahead = self._queue.ahead(entry.line, entry)
        return Queued(1 + round(ahead.requests), self._pace.seconds(ahead.cost + entry.cost))

    def _look_again(self) -> None:
        """What an answer that ended has held, of the batch and of the KV cache, is free with the engine's next step, of
        which nobody tells us."""
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(_LOOK_EVERY, self._looks)

    def _looks(self) -> None:
        self._look = None
        self._call()


class Entry(Ticket):
    """One request on its way through the queue and the engine. Leaving the block leaves both, wherever it is.

    called: its turn has come. waited: seconds until then. unread, expected: see Load.
    """

    def __init__(self, admission: Admission, prepared: Prepared, line: "Line[Entry]") -> None:
        self.choices = prepared.request.n
        self.unread = prepared.prompt_tokens
        self.expected = min(line.tokens * self.choices, float(prepared.max_tokens))
        super().__init__(prepared.prompt_tokens, PROMPT_WEIGHT * self.unread + OUTPUT_WEIGHT * self.expected)
        self.line = line
        self.called, self.waited, self.coming = False, 0.0, True
        self._admission, self._came = admission, time.monotonic()
        self._turn: asyncio.Future[None] | None = None
        self._unfinished = self.choices
        self._produced = self._charged = self._told = 0

    def __enter__(self) -> "Entry":
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self._admission.leave(self)

    async def wait(self, seconds: float | None = None) -> None:
        """Until its turn has come, at most so long."""
        if not self.called:
            self._turn = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._turn], timeout=seconds)

    def forecast(self) -> Queued:
        """How it stands in the queue."""
        return self._admission.forecast(self)

    def call(self) -> None:
        """Its turn has come."""
        self.called, self.waited = True, time.monotonic() - self._came
        _WAITS[self.line.band.tier].observe(self.waited)
        if self._turn and not self._turn.done():
            self._turn.set_result(None)

    def come(self) -> None:
        """The engine has it, with all its choices."""
        self._admission.come(self)

    def read(self) -> None:
        """The engine has read its prompt."""
        self._admission.read(self)

    def produce(self) -> None:
        """A piece of an answer has come, as a rule a token. This is called for each."""
        self._produced += 1
        if not self._produced % _LUMP:
            self.charge_output(self._produced)

    def finish(self, choice: Finished) -> None:
        """A choice has ended."""
        self._unfinished -= 1
        self._told += choice.completion_tokens
        self.line.learn(choice.completion_tokens)

    def settle(self) -> None:
        """Charge what is not charged yet, or was too much: not every piece is one token."""
        self.charge_output(self._produced if self._unfinished else self._told)

    def charge_output(self, tokens: int) -> None:
        """So many in all."""
        self.charge(OUTPUT_WEIGHT * (tokens - self._charged))
        self._charged = tokens

    @property
    def tokens(self) -> int:
        """Of its completions so far, as well as that can be told."""
        return self._told if not self._unfinished else max(self._told, self._produced)

    def charge(self, cost: float) -> None:
        self.line.charge(cost)
        self._admission.served += cost
