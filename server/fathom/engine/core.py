"""vLLM's AsyncLLM, and the one that takes its place after a crash or a hang."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.metrics.stats import SchedulerStats

from fathom.core.engine import Trouble
from fathom.core.errors import EngineCrashed, EngineUnavailable, StartupError
from fathom.engine.bell import Rung
from fathom.engine.threads import in_daemon_thread

CRASHED_AGAIN = EngineCrashed(
    "The engine died twice with this request in it, which may be what it dies of, so it is not tried a third time. The "
    "server's log tells of the crashes; try a shorter prompt, or other settings."
)

_MOST_WARM_UP = 600.0  # seconds; on a GPU it may compile
_SECONDS_TO_END = 10.0
_UNKNOWN_STATUS = 255  # multiprocessing's, where the fork server is not there to tell
_ONE_LOOK = 1.0  # most seconds that one look may count: more, and it was this process that stood still


class Steps:
    """Counts the engine's steps. To vLLM it is a stat logger, told of each, also of one that only read a prompt.

    kv_usage: share of the KV cache that requests hold, as of the last step.
    """

    def __init__(self) -> None:
        self.count = 0
        self.kv_usage = 0.0

    def record(self, scheduler_stats: SchedulerStats | None, *_: Any, **__: Any) -> None:
        self.count += 1
        if scheduler_stats:
            self.kv_usage = scheduler_stats.kv_cache_usage

    def log(self, *_: Any) -> None:
        pass

    log_engine_initialized = record_sleep_state = log


class Core:
    """launch: makes an AsyncLLM that tells its steps to a logger; blocks until it is loaded; raises StartupError.

    log: where vLLM's processes write. hang_timeout: seconds of work without a step.
    """

    def __init__(self, launch: Callable[[Steps], AsyncLLM], log: Path, hang_timeout: float) -> None:
        self._launch, self._log, self._hang_timeout = launch, log, hang_timeout
        self._steps = Steps()
        self.llm = launch(self._steps)
        self._processes = _processes(self.llm)
        self.rung = Rung()
        self._up = asyncio.Event()
        self._up.set()
        self._gone: str | None = None
        self._given_up: AsyncLLM | None = None
        self._seen = 0
        self._looked, self._still = time.monotonic(), 0.0

    @property
    def kv_usage(self) -> float:
        """Share of the KV cache that requests hold, 0 to 1, as of the last step."""
        return self._steps.kv_usage

    @property
    def unfinished(self) -> int | None:
        """Choices that the engine has, None while there is none that lives."""
        return self.llm.get_num_unfinished_requests() if self.lives(self.llm) else None

    async def up(self) -> AsyncLLM:
        """The engine, as soon as there is one that lives. Raises EngineUnavailable if none will come."""
        while self._gone is None:
            if self.lives(self.llm):
                return self.llm
            self._up.clear()
            await self._up.wait()
        raise EngineUnavailable(f"The engine has failed: {self._gone}", retry_after=10)

    def lives(self, llm: AsyncLLM) -> bool:
        """Whether this one is at work."""
        return llm is self.llm and self._up.is_set() and not llm.errored and llm is not self._given_up

    def lose(self, llm: AsyncLLM) -> None:
        """This one ends, though it does not say so itself."""
        self._given_up = llm

    def trouble(self) -> Trouble | None:
        if self.llm.errored or self.llm is self._given_up:
            return Trouble("died", f"{self._how_it_ended()} (its log: {self._log})")
        if self._stands_still() >= self._hang_timeout:
            many = self.llm.get_num_unfinished_requests()
            return Trouble("hung", f"{many} requests and no step for {self._still:.0f} s (its log: {self._log})")
        return None

    async def restart(self, warm_up: Callable[[AsyncLLM], Awaitable[None]]) -> None:
        """What is in the engine gets an EngineDeadError, and finds the new one by up(). Raises StartupError."""
        self._up.clear()
        await in_daemon_thread(self.end)
        self.llm.output_processor.propagate_error(EngineDeadError())  # whatever vLLM has told them, or not
        try:
            self.llm, self._processes = await in_daemon_thread(self._start)
            async with asyncio.timeout(_MOST_WARM_UP):
                await warm_up(self.llm)
        except StartupError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no engine yet, and the next try may bring one
            raise StartupError(f"the engine did not come back: {error or 'it does nothing'}") from None
        self._looked, self._still = time.monotonic(), 0.0
        self._steps.kv_usage = 0.0
        self._up.set()

    def give_up(self, reason: str) -> None:
        """What waits in up() fails, and what is in an engine that hangs finds its way there."""
        self._gone = reason
        self._up.set()
        self.llm.output_processor.propagate_error(EngineDeadError())

    def _start(self) -> tuple[AsyncLLM, list[psutil.Process]]:
        llm = self._launch(self._steps)
        return llm, _processes(llm)

    def end(self) -> None:
        """Kill what is left of the engine's processes, by their ids. Blocks until they have ended."""
        for process in self._processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.llm.shutdown(timeout=_SECONDS_TO_END)
        psutil.wait_procs(self._processes, timeout=_SECONDS_TO_END)

    def _stands_still(self) -> float:
        """Seconds with work and without a step, those without work left out: clients that give up do not hide it."""
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        if self._steps.count != self._seen:
            self._seen, self._still = self._steps.count, 0.0
        elif self.llm.get_num_unfinished_requests():
            self._still += min(passed, _ONE_LOOK)
        return self._still

    def _how_it_ended(self) -> str:
        status = next((each.exitcode for each in _mains(self.llm) if each.exitcode), None)
        if status is None:
            return "EngineCore reported an error, or gave up its requests"
        if status == _UNKNOWN_STATUS:
            return "the nursery was lost, which tells of EngineCore's end"
        return f"EngineCore was ended by {signal.Signals(-status).name}" if status < 0 else f"EngineCore exit {status}"


def _mains(llm: AsyncLLM) -> list[Any]:
    """EngineCore, as multiprocessing knows it."""
    manager = llm.engine_core.resources.engine_manager
    return list(manager.processes) if manager else []


def _processes(llm: AsyncLLM) -> list[psutil.Process]:
    """EngineCore and its workers. Known from the start: the workers of a dead EngineCore are no children of ours."""
    found: list[psutil.Process] = []
    for each in _mains(llm):
        with suppress(psutil.NoSuchProcess):
            main = psutil.Process(each.pid)
            found += [main, *main.children(recursive=True)]
    return found
