"""What the engine can hold at a time, and what it holds of ours."""

from typing import Protocol

from fathom.core.batch import common_places
from fathom.core.engine import ModelCard


class Room(Protocol):
    """Where requests go. card: what it can hold, once it is known."""

    card: ModelCard | None

    def kv_usage(self) -> float: ...


class Load(Protocol):
    """What one request takes. unread: prompt tokens that the engine has yet to read. expected: completion tokens, of
    all its choices."""

    choices: int
    unread: int
    expected: float


class Capacity:
    """choices: that the engine has."""

    def __init__(self, engine: Room) -> None:
        self._engine = engine
        self.choices = self._unread = 0
        self._expected = 0.0

    @property
    def places(self) -> int:
        """That one tenant may fill."""
        return common_places(self._engine.card.max_num_seqs) if self._engine.card else 0

    def has_place(self, *, last: bool = False) -> bool:
        """In the batch, or, for those who may have them, among its last places. A request of many choices needs one
        free place: to wait for all of them would leave them empty for long."""
        if last and self._engine.card:
            return self.choices < max(self.places, self._engine.card.max_num_seqs)
        return not self.choices or self.choices < self.places

    def fits(self, load: Load, *, last: bool = False) -> bool:
        """Into the batch and the KV cache: by what the engine says it holds, which knows what prompts share, and by
        what it has yet to read and to generate. Its requests are half way through their answers on average."""
        card = self._engine.card
        if not self.choices or card is None or not card.kv_cache_tokens:
            return self.has_place(last=last)
        coming = self._unread + self._expected / 2 + load.unread + load.expected
        return self.has_place(last=last) and coming <= card.kv_cache_tokens * (1 - self._engine.kv_usage())

    def take(self, load: Load) -> None:
        self.choices += load.choices
        self._unread += load.unread
        self._expected += load.expected

    def read(self, load: Load) -> None:
        """The engine has read its prompt, and holds it."""
        self._unread -= load.unread
        load.unread = 0

    def give_back(self, load: Load) -> None:
        self.read(load)
        self.choices -= load.choices
        self._expected = self._expected - load.expected if self.choices else 0.0  # and no rest of rounding
