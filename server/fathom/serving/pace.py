"""How fast the engine is when it has all the work that it can take."""

import math
import time

from fathom.telemetry import metrics

_WINDOW = 0.5
_LONGEST_WINDOW = 10.0  # a longer one says that the engine was away, not that it is slow
_MEMORY = 10.0


class Pace:
    """rate: what it serves in a second, in the measure of `served`; None as long as that has never been seen.

    It is measured while requests wait, in windows of half a second or more, and what was seen earlier counts the less
    the longer ago it was (seconds of memory: 10).
    """

    def __init__(self) -> None:
        self.rate: float | None = None
        self._since: float | None = None
        self._mark = 0.0

    def see(self, served: float, *, waiting: bool) -> None:
        """Told whenever a request comes or goes: all that was served so far, and whether any waits."""
        now = time.monotonic()
        if not waiting:
            self._since = None
        elif self._since is None:
            self._since, self._mark = now, served
        elif (passed := now - self._since) >= _WINDOW:
            if served > self._mark and passed <= _LONGEST_WINDOW:
                self._take((served - self._mark) / passed, passed)
            self._since, self._mark = now, served

    def seconds(self, cost: float) -> float | None:
        """That it takes to serve so much."""
        return None if self.rate is None else cost / self.rate

    def _take(self, rate: float, passed: float) -> None:
        share = 1.0 if self.rate is None else 1 - math.exp(-passed / _MEMORY)
        self.rate = rate if self.rate is None else self.rate + share * (rate - self.rate)
        metrics.PACE.set(self.rate)
