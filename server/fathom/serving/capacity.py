"""What the engine can hold at a time, and what it holds of ours."""

from typing import Protocol

from fathom.core.batch import common_places
from fathom.core.engine import ModelCard


class Room(Protocol):
    """Where requests go. card: what it can hold, once it is known."""

    card: ModelCard | None

    def kv_usage(self) -> float: ...

    def unfinished(self) -> int | None: ...


class Load(Protocol):
    """What one request takes. unread: prompt tokens that the engine has yet to read. expected: completion tokens, of
    all its choices. coming: the engine does not have it yet."""

    choices: int
    coming: bool
    unread: int
    expected: float


class Capacity:
    """choices: that the engine has."""

    def __init__(self, engine: Room) -> None:
        self._engine = engine
        self.choices = self._coming = self._unread = 0
        self._expected = 0.0

    @property
    def places(self) -> int:
        """That one tenant may fill."""
        return common_places(self._engine.card.max_num_seqs) if self._engine.card else 0

    def has_place(self, *, last: bool = False) -> bool:
        """In the batch, or, for those who may have them, among its last places. A request of many choices needs one
        free place: to wait for all of them would leave them empty for long."""
        held = self._held()
        if last and self._engine.card:
            return held < max(self.places, self._engine.card.max_num_seqs)
        return not held or held < self.places

    @property
    def frees_itself(self) -> bool:
        """Whether there may be room soon though nobody leaves."""
        return self.has_place() or self._engine.unfinished() is not None

    def _held(self) -> int:
        """Choices that the engine has, or is about to get. Of an answer that is over, it has nothing left, though its
        client may still read; of a request with many, those that are not over."""
        unfinished = self._engine.unfinished()
        return self.choices if unfinished is None else min(self.choices, unfinished + self._coming)

    def fits(self, load: Load, *, last: bool = False) -> bool:
        """Into the batch and the KV cache: by what the engine says it holds, which knows what prompts share, and by
        what it has yet to read and to generate. Its requests are half way through their answers on average."""
        card = self._engine.card
        if not self.choices or card is None or not card.kv_cache_tokens:
            return self.has_place(last=last)
        coming = (self._unread + self._expected / 2) * self._held() / self.choices + load.unread + load.expected
        return self.has_place(last=last) and coming <= card.kv_cache_tokens * (1 - self._engine.kv_usage())

    def take(self, load: Load) -> None:
        self.choices += load.choices
        self._coming += load.choices
        self._unread += load.unread
        self._expected += load.expected

    def come(self, load: Load) -> None:
        """The engine has all of it."""
        if load.coming:
            load.coming = False
            self._coming -= load.choices

    def read(self, load: Load) -> None:
        """The engine has read its prompt, and holds it."""
        self._unread -= load.unread
        load.unread = 0

    def give_back(self, load: Load) -> None:
        self.come(load)
        self.read(load)
        self.choices -= load.choices
        self._expected = self._expected - load.expected if self.choices else 0.0  # and no rest of rounding
