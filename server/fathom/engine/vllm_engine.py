"""The engine: owns vLLM's AsyncLLM, whose EngineCore and workers are child processes of this one.

This module imports nothing heavy, so that the API can listen at once; `start` brings vLLM in, in a thread.
"""

import asyncio
import gc
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from fathom.core.allocator import give_back
from fathom.core.engine import Embedding, ModelCard, Phase, Prepared, Progress, Tokenized, Trouble
from fathom.core.events import Event
from fathom.core.generation import GenerationRequest, Prompt, ReasoningControl, Text, TokenIds
from fathom.core.tenant import EVERYONE, Tenant
from fathom.engine.threads import in_daemon_thread
from fathom.settings import Settings

if TYPE_CHECKING:
    from fathom.engine.pooling import Pooling
    from fathom.engine.turns import Turns

_SECONDS_TO_END = 1.0


class VllmEngine:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: Turns | Pooling | None = None
        self._cancel = threading.Event()

    async def start(self, progress: Progress) -> ModelCard:
        """Load the model and try it. Raises StartupError."""

        def tell(phase: Phase, share: float | None) -> None:
            loop.call_soon_threadsafe(progress, phase, share)

        loop = asyncio.get_running_loop()
        with _little_garbage():
            self._loaded = await in_daemon_thread(lambda: _load(self._settings, tell, self._cancel))
            progress(Phase.WARMING, None)
            await self._loaded.warm_up(self._loaded.core.llm)
        return self._loaded.card

    async def prepare(self, request: GenerationRequest) -> Prepared:
        return await self._model.prepare(request)

    def stream(self, prepared: Prepared) -> AsyncGenerator[Event]:
        return self._model.stream(prepared)

    def kv_usage(self) -> float:
        return self._model.core.kv_usage

    def unfinished(self) -> int | None:
        return self._loaded.core.unfinished if self._loaded else None

    async def tokenize(self, prompt: Prompt, reasoning: ReasoningControl) -> Tokenized:
        return await self._model.tokenize(prompt, reasoning)

    async def detokenize(self, ids: Sequence[int]) -> str:
        return await self._model.detokenize(ids)

    async def embed(
        self, request_id: str, prompt: Text | TokenIds, dimensions: int | None, tenant: Tenant = EVERYONE
    ) -> Embedding:
        return await self._model.embed(request_id, prompt, dimensions, tenant)

    def trouble(self) -> Trouble | None:
        return self._model.core.trouble()

    async def restart(self) -> None:
        await self._model.core.restart(self._model.warm_up)

    def give_up(self, reason: str) -> None:
        if self._loaded:
            self._loaded.core.give_up(reason)

    async def stop(self) -> None:
        self._cancel.set()
        children = _engine_processes()
        loaded, self._loaded = self._loaded, None
        if loaded:
            await asyncio.to_thread(loaded.core.llm.shutdown, _SECONDS_TO_END)
        await asyncio.to_thread(_end, children)

    @property
    def _model(self) -> "Turns | Pooling":
        assert self._loaded is not None, "the supervisor asks only a started engine"
        return self._loaded


_YOUNG = (10_000, 10, 1 << 30)  # objects, collections of those, and of those in turn: never
"""What Python looks through for garbage while a million objects of vLLM's and torch's modules are made."""


@contextmanager
def _little_garbage() -> Iterator[None]:
    """Only what has just been made is looked through: it leaves 14 MiB less behind. What stays is never looked through,
    then or later: each look would stop every stream for a good part of a second."""
    before = gc.get_threshold()
    gc.set_threshold(*_YOUNG)
    try:
        yield
    finally:
        give_back()
        gc.freeze()
        gc.set_threshold(*before)


def _load(settings: Settings, progress: Progress, cancel: threading.Event) -> "Turns | Pooling":
    from fathom.engine.loading import load

    loaded = load(settings, progress, cancel)
    if loaded.card.embeds:
        from fathom.engine.pooling import Pooling  # after load(), which sets the environment that vllm reads

        return Pooling(loaded, settings.engine.lora)
    from fathom.engine.turns import Turns

    return Turns(loaded, settings.engine.lora)


def _engine_processes() -> list[psutil.Process]:
    """EngineCore and the workers. multiprocessing's own tracker is left to clean up behind them."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "resource_tracker" not in " ".join(_command(child))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has just ended
        return []


def _end(processes: list[psutil.Process]) -> None:
    """Kill what is still there. An engine holds nothing worth a long goodbye."""
    _, alive = psutil.wait_procs(processes, timeout=_SECONDS_TO_END)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=_SECONDS_TO_END)
