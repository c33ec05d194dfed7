"""A real server over scripted events: in a thread of the test, or (as a program) in the place of `fathom serve`."""

import argparse
import asyncio
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import uvicorn
from fathom.app import create_app
from fathom.cli.given import assigned
from fathom.core.engine import ModelCard, Phase, Progress
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.settings import load

from tests.running import empty_database


class ScriptedServer:
    """With a database of its own."""

    def __init__(self, engine: ScriptedEngine) -> None:
        self.engine = engine
        self._folder = tempfile.TemporaryDirectory()
        database = Path(self._folder.name, "fathom.db")
        database.write_bytes(empty_database())
        settings = load({"store.url": f"sqlite+aiosqlite:///{database}"})
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(
            uvicorn.Config(create_app(settings, engine), log_config=None, timeout_graceful_shutdown=1)
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> "ScriptedServer":
        self._thread.start()
        wait_for(lambda: self._server.started)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        self._folder.cleanup()


class SlowToStart(ScriptedEngine):
    async def start(self, progress: Progress) -> ModelCard:
        progress(Phase.LOADING, 0.5)
        await asyncio.sleep(1)
        return await super().start(progress)


def wait_for(what: Callable[[], object], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--set", action="append", dest="set_")
    parser.add_argument("model", nargs="?", default="scripted")
    given = parser.parse_args()
    app = create_app(load(assigned(given.set_)), SlowToStart(model=f"served-{given.model}"))
    uvicorn.run(app, host=given.host, port=given.port, log_config=None)


if __name__ == "__main__":
    main()
