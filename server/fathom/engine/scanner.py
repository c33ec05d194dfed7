"""Finds needles in text that comes in pieces, wherever the pieces are cut."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    needle: str


class Scanner:
    """Yields text as soon as it cannot be part of a needle, and each needle as Found.

    The result does not depend on how the text was cut into pieces: the earliest needle wins, and of two that start at
    one place the shorter. `held` is the text that may still become a needle.
    """

    def __init__(self, needles: Sequence[str]) -> None:
        assert all(needles), "an empty needle is everywhere"
        self._needles = sorted(needles, key=len)
        self.held = ""

    def feed(self, text: str) -> Iterator[str | Found]:
        """Take the next piece. Needles may be found in it even when the caller stops listening half way."""
        self.held += text
        while self.held:
            at, needle = self._first()
            partial = self._partial()
            if needle is None or partial < at:
                settled, self.held = self.held[:partial], self.held[partial:]
                if settled:
                    yield settled
                return
            settled, self.held = self.held[:at], self.held[at + len(needle) :]
            if settled:
                yield settled
            yield Found(needle)

    def flush(self) -> Iterator[str | Found]:
        """No more text will come: what was held is settled, but for a piece of a needle at the very end."""
        while self.held:
            at, needle = self._first()
            if needle is None:
                break
            settled, self.held = self.held[:at], self.held[at + len(needle) :]
            if settled:
                yield settled
            yield Found(needle)
        cut = self._partial()
        settled, self.held = self.held[:cut], self.held[cut:]
        if settled:
            yield settled

    def _first(self) -> tuple[int, str | None]:
        hits = [(at, needle) for needle in self._needles if (at := self.held.find(needle)) >= 0]
        return min(hits, key=lambda hit: (hit[0], len(hit[1])), default=(len(self.held), None))

    def _partial(self) -> int:
        """Where the longest end of `held` begins that is the beginning of a needle, but not a whole one."""
        longest = max(len(needle) for needle in self._needles) - 1
        for at in range(max(0, len(self.held) - longest), len(self.held)):
            if any(needle.startswith(self.held[at:]) and needle != self.held[at:] for needle in self._needles):
                return at
        return len(self.held)
