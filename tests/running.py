"""Running servers for tests: the app on a scripted engine in a thread, and the whole `fathom serve` as a process."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import psutil
import uvicorn
from fastapi import FastAPI
from fathom.api.connection import configure
from fathom.api.openai.chat.translate import TRACE_KEYS
from fathom.app import create_app
from fathom.core.engine import Engine
from fathom.settings import Settings, load

from tests.checked import CheckedClient
from tests.databases import migrate


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def app_running(
    engine: Engine,
    settings: Settings | None = None,
    change: Callable[[FastAPI], None] = lambda _app: None,
    listening: socket.socket | None = None,
) -> Iterator[httpx.Client]:
    """The app over real HTTP, on an engine of the test's choice; `change` may alter it before it starts. Its database
    is an empty one, if the settings name none, and its socket one of loopback, if none is given."""
    settings = settings or load()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "fathom.db").write_bytes(empty_database())
        app = create_app(_with_database(settings, f"sqlite+aiosqlite:///{folder}/fathom.db"), engine)
        change(app)
        server = _Prompt(configure(app, settings.http, port=0))
        thread = threading.Thread(target=server.run, args=([listening] if listening else None,), daemon=True)
        thread.start()
        until(lambda: server.started, "the app listens")
        host, port = (listening or server.servers[0].sockets[0]).getsockname()
        try:
            with CheckedClient(base_url=f"http://{host}:{port}", timeout=30) as client:
                client.trace = TRACE_KEYS[settings.reasoning.fields]
                yield client
        finally:
            server.should_exit = True
            thread.join(10)


class _Prompt(uvicorn.Server):
    """It ends when it is told to, and not up to a tenth of a second later: hundreds of tests start one each."""

    async def main_loop(self) -> None:
        await self.on_tick(0)
        while not self.should_exit:
            await asyncio.sleep(0.005)


@cache
def empty_database() -> bytes:
    """A migrated one, to be copied: migrating one for every test takes long."""
    with tempfile.TemporaryDirectory() as folder:
        migrate(f"sqlite+aiosqlite:///{folder}/empty.db")
        return Path(folder, "empty.db").read_bytes()


def _with_database(settings: Settings, url: str) -> Settings:
    store = settings.store.model_copy(update={"url": settings.store.url or url})
    return settings.model_copy(update={"store": store})


@dataclass
class Server:
    """A `fathom serve` process."""

    process: subprocess.Popen[str]
    port: int
    log: Path
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = CheckedClient(base_url=self.url, timeout=120)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_ready(self, seconds: float = 280) -> None:
        until(self._is_ready, "the server is ready", seconds)

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, f"the server ended:\n{self.log.read_text()[-3000:]}"
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def chat(self, text: str, **fields: Any) -> dict[str, Any]:
        """The answer to one message, greedily; fails on anything but 200."""
        model = self.client.get("/v1/models").json()["data"][0]["id"]
        body = {"model": model, "temperature": 0, "messages": [{"role": "user", "content": text}], **fields}
        response = self.client.post("/v1/chat/completions", json=body)
        assert response.status_code == 200, response.text
        result: dict[str, Any] = response.json()
        return result

    def stop(self) -> int:
        """Ask it to end. Returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        finally:
            self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.client.close()


def start_server(log: Path, *arguments: str, **environment: str) -> Server:
    """`fathom serve` on a free port, not waited for. Its database lies beside `log`, if `environment` names none."""
    return start_program("fathom", log, "serve", *arguments, **environment)


def start_program(module: str, log: Path, *arguments: str, **environment: str) -> Server:
    """The same of a module that serves in its own way."""
    port = free_port()
    own = {
        "FATHOM_HTTP__PORT": str(port),
        "FATHOM_STORE__URL": f"sqlite+aiosqlite:///{log.with_suffix('.db')}",
    }
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **own, **environment},
        )
    return Server(process, port, log)


def gone(processes: list[psutil.Process]) -> bool:
    """Ended, if not yet buried by whoever inherited them."""
    return all(not each.is_running() or each.status() == psutil.STATUS_ZOMBIE for each in processes)


def until(condition: Any, what: str, seconds: float = 20) -> None:
    """Wait for `condition()`; fail with `what` when it does not come."""
    deadline, pause = time.monotonic() + seconds, 0.001
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
