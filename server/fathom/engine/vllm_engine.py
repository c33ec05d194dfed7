"""The engine: owns vLLM's AsyncLLM, whose EngineCore and workers are child processes of this one.

This module imports nothing heavy, so that the API can listen at once; `start` brings vLLM in, in a thread.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import psutil

from fathom.core.engine import ModelCard, Phase, Progress
from fathom.core.events import Event
from fathom.core.generation import GenerationRequest
from fathom.settings import Settings

if TYPE_CHECKING:
    from fathom.engine.turns import Turns

_SECONDS_TO_END = 1.0


class VllmEngine:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turns: Turns | None = None
        self._cancel = threading.Event()

    async def start(self, progress: Progress) -> ModelCard:
        """Load the model and generate a token with it. Raises StartupError."""
        from fathom.engine.loading import in_daemon_thread

        def tell(phase: Phase, share: float | None) -> None:
            loop.call_soon_threadsafe(progress, phase, share)

        loop = asyncio.get_running_loop()
        self._turns = await in_daemon_thread(lambda: _load(self._settings, tell, self._cancel))
        progress(Phase.WARMING, None)
        await self._turns.warm_up()
        return self._turns.card

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Event]:
        assert self._turns is not None, "the supervisor streams only from a started engine"
        return self._turns.stream(request)

    def died(self) -> str | None:
        return self._turns.died() if self._turns else None

    async def stop(self) -> None:
        self._cancel.set()
        children = _engine_processes()
        turns, self._turns = self._turns, None
        if turns:
            await asyncio.to_thread(turns.shut_down, _SECONDS_TO_END)
        await asyncio.to_thread(_end, children)


def _load(settings: Settings, progress: Progress, cancel: threading.Event) -> "Turns":
    from fathom.engine.loading import load

    loaded = load(settings, progress, cancel)
    from fathom.engine.turns import Turns  # after load(), which sets the environment that vllm reads

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
