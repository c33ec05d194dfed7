"""How often an engine may crash, and how long to wait until it is started again.

What counts is time in service: a start, however long it takes, brings no crash closer to being forgotten.
"""

from collections import deque

_LONGEST_WAIT = 30.0


class Crashes:
    """most: crashes within `window` seconds of service that are borne."""

    def __init__(self, most: int, window: float) -> None:
        self.most, self.window = most, window
        self._service = 0.0
        self._times: deque[float] = deque()

    @property
    def count(self) -> int:
        """Within the window that ends with the last one."""
        while self._times and self._times[0] <= self._service - self.window:
            self._times.popleft()
        return len(self._times)

    @property
    def too_many(self) -> bool:
        return self.count > self.most

    @property
    def wait(self) -> float:
        """Seconds until the next start: none after a first crash, then 1, 2, 4 and so on."""
        return 0.0 if self.count < 2 else min(2.0 ** (self.count - 2), _LONGEST_WAIT)

    def add(self, uptime: float) -> None:
        """uptime: seconds of service since the last one, none after a start that failed."""
        self._service += uptime
        self._times.append(self._service)
