"""The single generation path: every dialect's request goes through here, to the engine and back, and is metered."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, closing, nullcontext
from functools import partial
from typing import Protocol

from fathom.core.engine import Prepared
from fathom.core.events import Event
from fathom.core.generation import GenerationRequest
from fathom.core.tenant import Caller
from fathom.serving.admission import Admission
from fathom.serving.limits import RateLimits, within
from fathom.serving.live import Live
from fathom.serving.metering import Meter
from fathom.serving.usage import Ledger
from fathom.settings import LimitSettings


class Generates(Protocol):
    async def prepare(self, request: GenerationRequest) -> Prepared: ...

    def stream(self, prepared: Prepared) -> AsyncGenerator[Event]: ...


class Generate(Live):
    """tell_every: seconds between two words on how long a request still has to wait."""

    def __init__(
        self,
        engine: Generates,
        admission: Admission,
        rates: RateLimits,
        ledger: Ledger,
        limits: LimitSettings | None = None,
        *,
        tell_every: float = 10.0,
    ) -> None:
        super().__init__(limits)
        self._engine, self._admission, self._rates, self._ledger = engine, admission, rates, ledger
        self._tell_every = tell_every

    def count(self, caller: Caller) -> None:
        """A request that is made later, as a patient one. Raises RateLimitExceeded."""
        self._rates.count(caller)

    async def __call__(self, request: GenerationRequest) -> AsyncGenerator[Event]:
        """Events of one request: Queued while it has to wait, then Accepted and so on. Closing the generator ends it,
        wherever it is. Raises ServiceError."""
        request = within(request)
        with (
            self.deadline(request.timeout, patient=request.patient) as deadline,
            Meter(request, deadline, self._ledger) as meter,
            closing(request.shortcut) if request.shortcut else nullcontext(),
        ):
            self._admission.check(request)
            prepared = await deadline.wait(lambda: self._engine.prepare(request))
            room = self._rates.reserved(
                request.caller, prepared.prompt_tokens, prepared.max_tokens, counted=not request.patient
            )
            async with room as reservation:
                reservation.used = meter.tokens
                with self._admission.enter(prepared) as entry:
                    while not entry.called:
                        yield meter.queued(entry.forecast())
                        await deadline.wait(lambda: entry.wait(self._tell_every))
                    meter.entered(entry)
                    async with aclosing(self._engine.stream(prepared)) as events:
                        deadline.work, step = events, partial(anext, events, None)
                        while event := await deadline.wait(step):
                            meter.see(event)
                            yield event
                            if request.shortcut and meter.produces:
                                request.shortcut.begin(meter.see)
