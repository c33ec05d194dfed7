"""The engine's life: starting -> ready -> failed or stopped. Requests reach the engine through here."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass

import structlog

from fathom.core.engine import Embedding, Engine, ModelCard, Phase, Progress, Tokenized
from fathom.core.errors import EngineUnavailable, StartupError
from fathom.core.events import Event
from fathom.core.generation import GenerationRequest, Prompt, ReasoningControl, Text, TokenIds
from fathom.telemetry import metrics

log = structlog.get_logger()

_WATCH_EVERY = 1.0
_RETRY_AFTER = 5.0


@dataclass(frozen=True, slots=True)
class Hooks:
    """Whom to tell: of each step of a start, that the model is served, and that the engine has failed."""

    progress: Progress
    ready: Callable[[ModelCard], None]
    failed: Callable[[str], None]

    @classmethod
    def none(cls) -> "Hooks":
        return cls(lambda _phase, _share: None, lambda _card: None, lambda _reason: None)


class Supervisor:
    """Owns one engine.

    phase, share: where the start is, and how much of it is done (0 to 1, or None where unknown).
    card: what is served, once it is. failure: the one line that ended it.
    """

    def __init__(self, engine: Engine, hooks: Hooks) -> None:
        self._engine = engine
        self._hooks = hooks
        self._task: asyncio.Task[None] | None = None
        self._began = self._phase_began = time.monotonic()
        self.phase = Phase.STARTING
        self.share: float | None = None
        self.card: ModelCard | None = None
        self.failure: str | None = None

    @property
    def ready(self) -> bool:
        return self.phase is Phase.READY

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._began

    @property
    def phase_seconds(self) -> float:
        return time.monotonic() - self._phase_began

    def begin(self) -> None:
        """Start the engine and watch it, in the background."""
        self._task = asyncio.create_task(self._live())

    async def stop(self) -> None:
        """End the engine, wherever it is in its life."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._engine.stop()
        if self.phase is not Phase.FAILED:
            self._enter(Phase.STOPPED)

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Event]:
        """Raises EngineUnavailable with the phase while the engine is not ready."""
        async with aclosing(self._ready_engine().stream(request)) as events:
            async for event in events:
                yield event

    async def tokenize(self, prompt: Prompt, reasoning: ReasoningControl) -> Tokenized:
        """What `stream` would read. Raises BadRequest, and EngineUnavailable while the engine is not ready."""
        return await self._ready_engine().tokenize(prompt, reasoning)

    async def detokenize(self, ids: Sequence[int]) -> str:
        """Raises BadRequest for an id that is no token, and EngineUnavailable while the engine is not ready."""
        return await self._ready_engine().detokenize(ids)

    async def embed(self, request_id: str, prompt: Text | TokenIds, dimensions: int | None) -> Embedding:
        """Raises Unsupported where the model makes no embeddings, and EngineUnavailable while it is not ready."""
        return await self._ready_engine().embed(request_id, prompt, dimensions)

    def serving(self) -> ModelCard:
        """The model's card. Raises EngineUnavailable while there is none."""
        if self.card is None:
            raise EngineUnavailable(self._why_not(), retry_after=_RETRY_AFTER)
        return self.card

    async def _live(self) -> None:
        try:
            self.card = await self._engine.start(self._enter)
            self._enter(Phase.READY)
            self._hooks.ready(self.card)
            while (reason := self._engine.died()) is None:  # noqa: ASYNC110 - vLLM tells nobody of its death
                await asyncio.sleep(_WATCH_EVERY)
            self.fail(f"the engine died: {reason}")
        except StartupError as error:
            self.fail(str(error))
        except Exception as error:  # a start that broke otherwise must end as failed too, and not hang as starting
            log.exception("engine")
            told = " ".join(str(error).split())[:300]  # one line
            self.fail(f"the engine failed while {self.phase}: {type(error).__name__}: {told}")

    def fail(self, reason: str) -> None:
        """The server cannot go on."""
        self.failure = reason
        self._enter(Phase.FAILED)
        self._hooks.failed(reason)

    def _enter(self, phase: Phase, share: float | None = None) -> None:
        if phase is not self.phase:
            log.info("engine", phase=str(phase), seconds=round(self.seconds, 1))
            self._phase_began = time.monotonic()
        self.phase, self.share = phase, share
        self._hooks.progress(phase, share)
        for each in Phase:
            metrics.ENGINE_STATE.labels(phase=str(each)).set(each is phase)

    def _ready_engine(self) -> Engine:
        if not self.ready:
            raise EngineUnavailable(self._why_not(), retry_after=_RETRY_AFTER)
        return self._engine

    def _why_not(self) -> str:
        if self.phase is Phase.FAILED:
            return f"The engine has failed: {self.failure}"
        share = "" if self.share is None else f", {self.share:.0%}"
        where = f"{self.phase}{share} for {self.phase_seconds:.0f} s"
        return f"The engine is not ready ({where}). Try again in a few seconds; GET /startupz tells how far it is."
