"""Engines are forked from a process that has imported vLLM and does nothing else: the nursery (docs/adr/0020).

Importing vLLM takes as long as all the rest of a start. The nursery does it once, beside this process, and every
EngineCore begins with what it has imported: the first one, and those after a crash. It is multiprocessing's fork
server, so pids, exit codes and the pipe by which a child sees the end of this process are as with any child. Without a
nursery that works, an engine is spawned, which is slower and as good.
"""

import multiprocessing.forkserver as fork_server
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import popen_forkserver, popen_spawn_posix
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

import structlog

from fathom.settings import EngineSettings

log = structlog.get_logger()

_ROOM = "fathom.engine.nursery_room"
_PATIENCE = 120.0  # seconds; a nursery that has not forked by then hangs


def wanted(settings: EngineSettings, device: str) -> bool:
    return settings.nursery == "on" or (settings.nursery == "auto" and device == "cpu")


def begin() -> None:
    """Start it, with the environment as it is now. Returns at once."""
    fork_server.set_forkserver_preload([_ROOM])
    fork_server.ensure_running()


def pid() -> int | None:
    """Of the nursery, if one was started."""
    server: Any = vars(fork_server)["_forkserver"]
    found: int | None = server._forkserver_pid
    return found


class NurseryProcess(ForkServerProcess):
    """Begins in the nursery, with the environment of the process that starts it, and not with the nursery's."""

    _environment: dict[str, str]

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        process_obj._environment = dict(os.environ)
        try:
            with _patience():
                return popen_forkserver.Popen(process_obj)
        except (OSError, EOFError) as error:
            log.warning("the nursery does not work, the engine is spawned", reason=str(error) or type(error).__name__)
            return popen_spawn_posix.Popen(process_obj)

    def run(self) -> None:
        os.environ.clear()
        os.environ.update(self._environment)
        super().run()


class NurseryContext(ForkServerContext):
    Process = NurseryProcess


def take_engines() -> None:
    """From now on vLLM has this process's EngineCore forked. Workers of one that has several are spawned as ever."""
    from vllm.v1.engine import utils

    context = NurseryContext()
    utils.get_mp_context = lambda: context


@contextmanager
def _patience() -> Iterator[None]:
    watch = threading.Timer(_PATIENCE, _kill)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def _kill() -> None:
    if found := pid():
        with suppress(ProcessLookupError):
            os.kill(found, signal.SIGKILL)
