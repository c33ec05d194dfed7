"""The engine protocol: what the serving side may ask of whatever makes the tokens."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from fathom.core.events import Event
from fathom.core.generation import GenerationRequest


class Phase(StrEnum):
    """Where an engine is. The first seven come in this order (one that is not needed is left out)."""

    STARTING = "starting"
    DOWNLOADING = "downloading"
    CONVERTING = "converting"
    IMPORTING = "importing"
    LOADING = "loading weights"
    WARMING = "warming up"
    READY = "ready"
    FAILED = "failed"
    STOPPED = "stopped"


Progress = Callable[[Phase, float | None], None]
"""Told at every step of a start: the phase, and the share of it that is done (0 to 1) where that is known."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is served. `context_length` and `kv_cache_tokens` are in tokens, `created` in seconds since the epoch."""

    id: str
    source: str
    profile: str
    device: str
    dtype: str
    context_length: int
    kv_cache_tokens: int
    created: int
    adapters: tuple[str, ...] = ()

    @property
    def full_length_requests(self) -> float:
        """How many requests of full context length the KV cache holds at once."""
        return self.kv_cache_tokens / self.context_length


class Engine(Protocol):
    """One model, loaded once. `stream` may be called from many tasks at a time."""

    async def start(self, progress: Progress) -> ModelCard:
        """Load the model. Raises StartupError with one clear line."""

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Event]:
        """Generate. Closing the generator aborts the request in the engine. Raises ServiceError."""

    def died(self) -> str | None:
        """Why the engine can't go on, once it can't."""

    async def stop(self) -> None:
        """End every child process. Safe to call at any time, also during a start."""
