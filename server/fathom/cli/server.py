"""Running the app: the socket, the signals, the banner and the exit status."""

import asyncio
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import NoReturn

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI

from fathom.api.connection import configure
from fathom.app import create_app
from fathom.cli.banner import banner
from fathom.cli.complain import complain
from fathom.cli.progress import showing_progress
from fathom.core.allocator import give_large_back
from fathom.core.engine import ModelCard, Phase
from fathom.core.errors import StartupError, StoreUnavailable
from fathom.engine.supervisor import Hooks
from fathom.engine.vllm_engine import VllmEngine
from fathom.serving.drain import Drain
from fathom.serving.keys import Changed
from fathom.settings import HttpSettings, Settings
from fathom.telemetry import logging

log = structlog.get_logger()

_SEND_BUFFER = 128 << 10  # bytes; Linux takes twice of that
_PROBES_AFTER, _PROBES_EVERY, _PROBES = 15, 5, 3  # of connections on which nothing is sent, in seconds
_OTHER_FILES = 256  # besides connections: the database, vLLM, logs
_LAST_WORDS = 12  # seconds in which clients are told the end of it; a store that is away may take ten of them


def listen(http: HttpSettings) -> socket.socket:
    """Take the port, before anything slow. Raises StartupError."""
    listening = socket.socket(socket.AF_INET6 if ":" in http.host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _notice_vanished_clients(listening, http.write_timeout)
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


def allow_files(connections: int) -> None:
    """Raise the limit of open files to what connections need, as far as that is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft < wanted:
        log.warning("few files", limit=soft, needed=wanted, fix="raise `ulimit -n`, or lower http.max_connections")


def _notice_vanished_clients(listening: socket.socket, seconds: float) -> None:
    """Of a client whose machine or network is gone, no packet tells: the kernel closes a connection on which nothing
    that was sent is acknowledged, and asks on one where nothing is sent. It holds little for one that does not read, so
    that this shows, too, and is seen by api/sse.py first. Connections inherit it all (tcp(7))."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(2 * seconds * 1000))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBES_AFTER)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBES_EVERY)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)


def serve_until_the_end(settings: Settings, listening: socket.socket) -> NoReturn:
    """Serve until a signal comes (exit status 0) or the engine fails (1, and one line that says why)."""
    give_large_back()
    uvloop.run(_serve(settings, listening))
    raise AssertionError("_serve ends the process")


async def _serve(settings: Settings, listening: socket.socket) -> None:
    logging.configure(settings.telemetry)
    allow_files(settings.http.max_connections)
    host, port = listening.getsockname()[:2]
    failures: list[str] = []

    bars = ExitStack()  # on a terminal; elsewhere the log tells the phases
    show = bars.enter_context(showing_progress()) if sys.stderr.isatty() else _silent

    async def welcome(card: ModelCard) -> None:
        key = await _first_key(app)
        bars.close()
        print(banner(card, host, port, key, keys=not app.state.access.open), flush=True)

    welcomes: list[asyncio.Task[None]] = []

    def on_ready(card: ModelCard) -> None:
        welcomes.append(asyncio.create_task(welcome(card)))

    def on_failed(reason: str) -> None:
        bars.close()
        if not server.should_exit:  # Ctrl+C reaches the engine, too, and so its start fails on the way out
            failures.append(reason)
            server.end()

    app = create_app(settings, VllmEngine(settings), Hooks(show, on_ready, on_failed))
    server = _Server(configure(app, settings.http, timeout_graceful_shutdown=_LAST_WORDS))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    way_out = _WayOut(app.state.drain, server, serving)
    with suppress(asyncio.CancelledError):
        await serving
    bars.close()
    await app.state.supervisor.stop()  # a second signal skips the app's own way down; no engine may outlive us
    if failures:
        complain(failures[0])
    sys.stdout.flush()
    os._exit(1 if failures or way_out.forced else 0)  # all is stopped; torch's own way out takes seconds and prints


async def _first_key(app: FastAPI) -> str | None:
    """The secret of a key that is made now: where others than this machine may ask, and there was never one. Not
    earlier: of a start that fails, nobody would see it."""
    if app.state.access.trusting:
        return None
    try:
        made: Changed | None = await app.state.keys.create_first()
    except StoreUnavailable as error:
        complain(f"no first key could be made: {error.message} `fathom keys create` makes one")
        return None
    return made.secret if made else None


def _silent(_phase: Phase, _share: float | None) -> None:
    pass


class _WayOut:
    """The first signal has the server drained, the second one ends it at once (`forced`)."""

    def __init__(self, drain: Drain, server: "_Server", serving: asyncio.Task[None]) -> None:
        self._drain, self._server, self._serving = drain, server, serving
        self._draining: asyncio.Task[None] | None = None
        self.forced = False
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._take, number)

    def _take(self, number: signal.Signals) -> None:
        if self._draining:
            log.warning("ended at once", reason=number.name)
            self.forced = True
            self._serving.cancel()
        else:
            self._draining = asyncio.create_task(self._go(number.name))

    async def _go(self, reason: str) -> None:
        try:
            await self._drain(reason)
        finally:
            self._server.end()


class _Server(uvicorn.Server):
    """uvicorn would close the port at the first signal, and look ten times a second whether it is to end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ends = asyncio.Event()

    def end(self) -> None:
        self.should_exit = True
        self._ends.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # which sets the date of answers
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._ends.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
