"""The engine protocol: what the serving side may ask of whatever makes the tokens."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

from fathom.core.events import Event
from fathom.core.generation import GenerationRequest, Prompt, ReasoningControl, Text, TokenIds
from fathom.core.tenant import EVERYONE, Tenant


class Phase(StrEnum):
    """Where an engine is. The first eight come in this order (one that is not needed is left out)."""

    STARTING = "starting"
    DOWNLOADING = "downloading"
    CONVERTING = "converting"
    QUANTIZING = "quantizing"
    IMPORTING = "importing"
    LOADING = "loading weights"
    WARMING = "warming up"
    READY = "ready"
    RESTARTING = "restarting"
    DRAINING = "draining"
    FAILED = "failed"
    STOPPED = "stopped"


Progress = Callable[[Phase, float | None], None]
"""Told at every step of a start: the phase, and the share of it that is done (0 to 1) where that is known."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is served. `context_length` and `kv_cache_tokens` are in tokens, `created` in seconds since the epoch.

    embeds: the model makes embeddings, and no text. fills: it can fill in the middle (`suffix`). sampling: by name, how
    tokens are drawn where the client does not say. max_num_seqs: choices that are generated at a time.
    """

    id: str
    source: str
    profile: str
    device: str
    dtype: str
    context_length: int
    kv_cache_tokens: int
    created: int
    adapters: tuple[str, ...] = ()
    embeds: bool = False
    fills: bool = False
    sampling: Mapping[str, float] = field(default_factory=dict)
    max_num_seqs: int = 64

    @property
    def full_length_requests(self) -> float:
        """How many requests of full context length the KV cache holds at once."""
        return self.kv_cache_tokens / self.context_length


@dataclass(frozen=True, slots=True)
class Tokenized:
    """A prompt as the engine reads it: its token ids, and as text with its special tokens spelled out."""

    ids: tuple[int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that the engine can be given at any time: all that can be refused without it has been.

    prompt_tokens: of one prompt, which all choices share. max_tokens: most completion tokens, of all choices together.
    plan: the engine's own.
    """

    request: GenerationRequest
    prompt_tokens: int
    max_tokens: int
    plan: Any = None


@dataclass(frozen=True, slots=True)
class Embedding:
    """One input's vector, of unit length, and how many tokens the input had."""

    vector: tuple[float, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an engine cannot go on. died: its process has ended. hung: it has work, and makes no step."""

    kind: Literal["died", "hung"]
    reason: str


class Engine(Protocol):
    """One model. Everything but start, restart and stop may be called from many tasks at a time."""

    async def start(self, progress: Progress) -> ModelCard:
        """Load the model. Raises StartupError with one clear line."""

    async def prepare(self, request: GenerationRequest) -> Prepared:
        """All that can be done before its turn. It may wait as long as it must. Raises BadRequest and its kin."""

    def stream(self, prepared: Prepared) -> AsyncGenerator[Event]:
        """Generate. Closing the generator aborts the request in the engine. Raises ServiceError."""

    def kv_usage(self) -> float:
        """Share of the KV cache that requests hold, 0 to 1, as of the engine's last step."""

    def unfinished(self) -> int | None:
        """Choices that it has and that are not over; None while that is not known."""

    async def tokenize(self, prompt: Prompt, reasoning: ReasoningControl) -> Tokenized:
        """What `stream` would read. Raises BadRequest."""

    async def detokenize(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens spelled out. Raises BadRequest for an id that is no token."""

    async def embed(
        self, request_id: str, prompt: Text | TokenIds, dimensions: int | None, tenant: Tenant = EVERYONE
    ) -> Embedding:
        """Raises Unsupported where the model makes no embeddings, or none of so many `dimensions`."""

    def trouble(self) -> Trouble | None:
        """Why the engine can't go on, once it can't. Asked often: a hang is noticed by how long nothing changes."""

    async def restart(self) -> None:
        """End what is left of it and start it again, with the same plan. Requests that are in `stream` or `embed` go on
        by themselves. Raises StartupError."""

    def give_up(self, reason: str) -> None:
        """No restart will come: what waits for one fails with EngineUnavailable."""

    async def stop(self) -> None:
        """End every child process. Safe to call at any time, also during a start."""
