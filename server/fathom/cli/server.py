"""Running the app: the socket, the signals, the banner and the exit status."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import NoReturn

import uvicorn
import uvloop

from fathom.app import create_app
from fathom.cli.banner import banner
from fathom.cli.complain import complain
from fathom.cli.progress import showing_progress
from fathom.core.engine import ModelCard, Phase
from fathom.core.errors import StartupError
from fathom.engine.supervisor import Hooks
from fathom.engine.vllm_engine import VllmEngine
from fathom.settings import HttpSettings, Settings
from fathom.telemetry import logging


def listen(http: HttpSettings) -> socket.socket:
    """Take the port, before anything slow. Raises StartupError."""
    listening = socket.socket(socket.AF_INET6 if ":" in http.host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((http.host, http.port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        hint = (
            f"choose another with --port, for example --port {http.port + 1}" if http.port else "choose another --host"
        )
        raise StartupError(f"cannot listen on {http.host}:{http.port}: {error.strerror}; {hint}") from None
    return listening


def serve_until_the_end(settings: Settings, listening: socket.socket) -> NoReturn:
    """Serve until a signal comes (exit status 0) or the engine fails (1, and one line that says why)."""
    uvloop.run(_serve(settings, listening))
    raise AssertionError("_serve ends the process")


async def _serve(settings: Settings, listening: socket.socket) -> None:
    logging.configure(settings.telemetry)
    host, port = listening.getsockname()[:2]
    failures: list[str] = []

    bars = ExitStack()  # on a terminal; elsewhere the log tells the phases
    show = bars.enter_context(showing_progress()) if sys.stderr.isatty() else _silent

    def on_ready(card: ModelCard) -> None:
        bars.close()
        print(banner(card, host, port), flush=True)

    def on_failed(reason: str) -> None:
        bars.close()
        failures.append(reason)
        server.should_exit = True

    engine = VllmEngine(settings)
    app = create_app(settings, engine, Hooks(show, on_ready, on_failed))
    server = _Server(
        uvicorn.Config(
            app,
            http="httptools",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(settings.http.shutdown_grace)),
        )
    )
    await server.serve(sockets=[listening])
    bars.close()
    await engine.stop()  # a second signal skips the app's own way down; no engine may outlive us
    if failures:
        complain(failures[0])
    sys.stdout.flush()
    os._exit(1 if failures or server.force_exit else 0)  # all is stopped; torch's own way out takes seconds and prints


def _silent(_phase: Phase, _share: float | None) -> None:
    pass


class _Server(uvicorn.Server):
    """uvicorn kills itself with the signal that ended it; a server that was asked to end, and did, exits with 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        def leave(_signal: int, _frame: FrameType | None) -> None:
            self.force_exit = self.should_exit
            self.should_exit = True

        before = {each: signal.signal(each, leave) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
