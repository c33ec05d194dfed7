"""What is under way, of one kind: counted, each with its deadline, and ended with the server."""

from collections.abc import Iterator
from contextlib import contextmanager

from fathom.core.errors import ServiceError
from fathom.serving.deadline import Deadline
from fathom.settings import LimitSettings
from fathom.telemetry import metrics


class Live:
    def __init__(self, limits: LimitSettings | None = None) -> None:
        self._limits = limits or LimitSettings()
        self._deadlines: set[Deadline] = set()

    @property
    def live(self) -> int:
        """How much of it is under way."""
        return len(self._deadlines)

    def end(self, error: ServiceError) -> None:
        """Whatever of it is under way fails with this error, at once."""
        for deadline in list(self._deadlines):
            deadline.end(error)

    @contextmanager
    def deadline(self, timeout: float | None = None, *, patient: bool = False) -> Iterator[Deadline]:
        """Of one request, which is under way until the block is left."""
        deadline = Deadline(self._limits, timeout, patient=patient)
        self._deadlines.add(deadline)
        metrics.REQUESTS_IN_FLIGHT.inc()
        try:
            yield deadline
        finally:
            metrics.REQUESTS_IN_FLIGHT.dec()
            self._deadlines.discard(deadline)
            deadline.close()
