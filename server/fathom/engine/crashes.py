"""How often an engine may crash, and how long to wait until it is started again."""

import time
from collections import deque

_LONGEST_WAIT = 30.0


class Crashes:
    """most: crashes within `window` seconds that are borne."""

    def __init__(self, most: int, window: float) -> None:
        self.most, self.window = most, window
        self._times: deque[float] = deque()

    @property
    def count(self) -> int:
        """Within the window that ends now."""
        while self._times and self._times[0] <= time.monotonic() - self.window:
            self._times.popleft()
        return len(self._times)

    @property
    def too_many(self) -> bool:
        return self.count > self.most

    @property
    def wait(self) -> float:
        """Seconds until the next start: none after a first crash, then 1, 2, 4 and so on."""
        return 0.0 if self.count < 2 else min(2.0 ** (self.count - 2), _LONGEST_WAIT)

    def add(self) -> None:
        self._times.append(time.monotonic())
