"""Time that tests let pass."""


class Clock:
    """In the place of the module `time`. now: seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now
