"""The engine's life: starting -> ready <-> restarting, then draining, stopped or failed. Requests reach the engine
through here.

An engine that died, or hangs, is started again, and what was in it goes on (engine/run.py). After too many crashes in a
short time the server ends.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from fathom.core.engine import Embedding, Engine, ModelCard, Phase, Prepared, Progress, Tokenized, Trouble
from fathom.core.errors import EngineUnavailable, ShuttingDown, StartupError, makes_no_embeddings
from fathom.core.events import Event
from fathom.core.generation import GenerationRequest, Prompt, ReasoningControl, Text, TokenIds
from fathom.core.tenant import EVERYONE, Tenant
from fathom.engine.crashes import Crashes
from fathom.settings import EngineSettings
from fathom.telemetry import metrics

log = structlog.get_logger()

_WATCH_EVERY = 0.25
_RETRY_AFTER = 5.0
_SERVING = (Phase.READY, Phase.RESTARTING)


@dataclass(frozen=True, slots=True)
class Hooks:
    """Whom to tell: of each step of a start, that the model is served, and that the engine has failed for good."""

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

    def __init__(self, engine: Engine, hooks: Hooks, settings: EngineSettings | None = None) -> None:
        settings = settings or EngineSettings()
        self._engine = engine
        self._hooks = hooks
        self._crashes = Crashes(settings.restarts, settings.restart_window)
        self._task: asyncio.Task[None] | None = None
        self._began = self._phase_began = time.monotonic()
        self._draining = False
        self._load_seconds = _RETRY_AFTER  # of the last start, from the weights on
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

    def drain(self) -> None:
        """Take nothing new. What is under way goes on, also over a crash."""
        self._draining = True
        if self.phase in _SERVING:
            self._enter(Phase.DRAINING)

    async def stop(self) -> None:
        """End the engine, wherever it is in its life."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._engine.stop()
        if self.phase is not Phase.FAILED:
            self._enter(Phase.STOPPED)

    async def prepare(self, request: GenerationRequest) -> Prepared:
        """Raises EngineUnavailable with the phase while the engine is not ready."""
        return await self._ready_engine().prepare(request)

    def stream(self, prepared: Prepared) -> AsyncGenerator[Event]:
        """What was prepared is under way: it is neither refused because the server drains nor because the engine is
        being started again, which it waits for. Raises EngineUnavailable if the engine has failed."""
        return self._loaded_engine().stream(prepared)

    def kv_usage(self) -> float:
        """Share of the KV cache that requests hold, 0 to 1, as of the engine's last step."""
        return self._engine.kv_usage()

    def unfinished(self) -> int | None:
        """Choices that the engine has and that are not over; None while that is not known."""
        return self._engine.unfinished()

    def check_embeds(self) -> None:
        """Raises what `embed` raises whatever the input is."""
        self._ready_engine()
        if not self.serving().embeds:
            raise makes_no_embeddings(self.serving().id)

    async def tokenize(self, prompt: Prompt, reasoning: ReasoningControl) -> Tokenized:
        """What `stream` would read. Raises BadRequest, and EngineUnavailable before the first start is over."""
        return await self._loaded_engine().tokenize(prompt, reasoning)

    async def detokenize(self, ids: Sequence[int]) -> str:
        """Raises BadRequest for an id that is no token, and EngineUnavailable before the first start is over."""
        return await self._loaded_engine().detokenize(ids)

    async def embed(
        self, request_id: str, prompt: Text | TokenIds, dimensions: int | None, tenant: Tenant = EVERYONE
    ) -> Embedding:
        """Raises Unsupported where the model makes no embeddings, and EngineUnavailable if the engine has failed."""
        return await self._loaded_engine().embed(request_id, prompt, dimensions, tenant)

    def serving(self) -> ModelCard:
        """The model's card. Raises EngineUnavailable while there is none."""
        if self.card is None:
            raise self._unavailable()
        return self.card

    async def _live(self) -> None:
        try:
            self.card = await self._engine.start(self._enter)
            self._enter(Phase.READY)
            self._hooks.ready(self.card)
            while True:
                await self._recover(await self._trouble())
        except StartupError as error:
            self.fail(str(error))
        except Exception as error:  # a start that broke otherwise must end as failed too, and not hang as starting
            log.exception("engine")
            told = " ".join(str(error).split())[:300]  # one line
            self.fail(f"the engine failed while {self.phase}: {type(error).__name__}: {told}")

    async def _trouble(self) -> Trouble:
        while (trouble := self._engine.trouble()) is None:  # noqa: ASYNC110 - vLLM tells nobody of its death
            await asyncio.sleep(_WATCH_EVERY)
        return trouble

    async def _recover(self, trouble: Trouble) -> None:
        """Start it again, and again if that fails. Raises StartupError once it was too often."""
        began, uptime = time.monotonic(), self.phase_seconds
        log.error("engine lost", how=trouble.kind, reason=trouble.reason)
        self._enter(Phase.RESTARTING)
        metrics.ENGINE_RESTARTS.labels(reason=trouble.kind).inc()
        last = trouble.reason
        try:
            while True:
                await self._may_restart(last, uptime)
                try:
                    await self._engine.restart()
                    break
                except StartupError as error:
                    last, uptime = str(error), 0.0
                    log.error("engine restart failed", reason=last)
        finally:
            metrics.ENGINE_DOWN.inc(time.monotonic() - began)
        self._load_seconds = time.monotonic() - began
        log.info("engine restarted", seconds=round(self._load_seconds, 1), crashes=self._crashes.count)
        self._enter(Phase.READY)

    async def _may_restart(self, reason: str, uptime: float) -> None:
        """Waits as long as it must. Raises StartupError if there were too many crashes."""
        crashes = self._crashes
        crashes.add(uptime)
        if crashes.too_many:
            often = f"{crashes.count} crashes within {crashes.window:g} s, and engine.restarts is {crashes.most}"
            raise StartupError(f"the engine is not started again ({often}): {reason}")
        if crashes.wait:
            log.warning("engine restart waits", seconds=crashes.wait, crashes=crashes.count)
            await asyncio.sleep(crashes.wait)

    def fail(self, reason: str) -> None:
        """The server cannot go on."""
        self.failure = reason
        self._enter(Phase.FAILED)
        self._engine.give_up(reason)
        self._hooks.failed(reason)

    def _enter(self, phase: Phase, share: float | None = None) -> None:
        if self._draining and phase in _SERVING:
            phase = Phase.DRAINING
        if phase is not self.phase:
            log.info("engine", phase=str(phase), seconds=round(self.seconds, 1))
            if self.phase in (Phase.LOADING, Phase.WARMING) and phase in (Phase.WARMING, Phase.READY):
                self._load_seconds += self.phase_seconds
            self._phase_began = time.monotonic()
        self.phase, self.share = phase, share
        self._hooks.progress(phase, share)
        for each in Phase:
            metrics.ENGINE_STATE.labels(phase=str(each)).set(each is phase)

    def _ready_engine(self) -> Engine:
        if not self.ready:
            raise self._unavailable()
        return self._engine

    def _loaded_engine(self) -> Engine:
        """What needs no EngineCore goes on without one."""
        if self.card is None or self.phase is Phase.FAILED:
            raise self._unavailable()
        return self._engine

    def _unavailable(self) -> EngineUnavailable:
        share = "" if self.share is None else f", {self.share:.0%}"
        where = f"{self.phase}{share} for {self.phase_seconds:.0f} s"
        match self.phase:
            case Phase.FAILED:
                return EngineUnavailable(f"The engine has failed: {self.failure}", retry_after=_RETRY_AFTER)
            case Phase.DRAINING:
                return ShuttingDown(
                    "This server is shutting down and takes no new requests. Send it again, to another server or when "
                    "this one is back.",
                    retry_after=_RETRY_AFTER,
                )
            case Phase.RESTARTING:
                left = max(1.0, self._load_seconds - self.phase_seconds)
                return EngineUnavailable(
                    f"The engine was lost and is being started again ({where}). Try again in {left:.0f} s; GET /readyz "
                    "tells when it is back.",
                    retry_after=left,
                )
        return EngineUnavailable(
            f"The engine is not ready ({where}). Try again in a few seconds; GET /startupz tells how far it is.",
            retry_after=_RETRY_AFTER,
        )
