"""The server that `fathom chat` starts for itself: a child process that ends with it, however that comes about."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fathom.cli.chat_client import ChatClient, Startup
from fathom.cli.chat_screen import Screen
from fathom.cli.wire import NoAnswer
from fathom.core.errors import StartupError

HOST, PORT = "127.0.0.1", 8000
SERVE = (sys.executable, "-m", "fathom", "serve")
SECONDS_TO_END = 15.0

_POLL = 0.25
_PR_SET_PDEATHSIG = 1


class OwnServer:
    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.url = url
        self._process = process
        self._log = log

    def check(self) -> None:
        """Raises StartupError with the last line that the server wrote, if it has ended."""
        status = self._process.poll()
        if status is not None:
            raise StartupError(f"{self._last_words(status)} (the server's log: {self._log})")

    def _last_words(self, status: int) -> str:
        if status < 0:
            return f"the server was ended by {signal.Signals(-status).name}"
        lines = [line.strip() for line in self._log.read_text(errors="replace").split("\n")]
        last = next(filter(None, reversed(lines)), "the server ended without a word")
        return last.removeprefix("fathom: error: ").rstrip(".")


@contextmanager
def own_server(model: str | None, home: Path, screen: Screen) -> Iterator[OwnServer]:
    """Start `fathom serve MODEL` on a free port of loopback; end it on the way out. Its database is its own, and has no
    keys: a chat stores nothing, and must not open what is stored to whoever else is on this machine."""
    log = _empty_log(home / "logs")
    port = _free_port()
    database = f"store.url=sqlite+aiosqlite:///{home / 'chat.db'}"
    command = [*SERVE, "--host", HOST, "--port", str(port), "--set", database, *([model] if model else [])]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl+C in the terminal is for the chat alone
            preexec_fn=_end_with_parent,
        )
    try:
        yield OwnServer(process, f"http://{HOST}:{port}", log)
    finally:
        _end(process, screen)


def wait_until_ready(client: ChatClient, screen: Screen, server: OwnServer | None) -> None:
    """Show the phase of the start until it is over. Raises StartupError when the server ends, or cannot be reached."""
    if not _startup(client, server):
        return
    began = time.monotonic()
    with screen.waiting() as say:
        while startup := _startup(client, server):
            share = "" if startup.share is None else f"{startup.share:.0%}, "
            say(startup.phase, f"{share}{time.monotonic() - began:.0f} s")
            time.sleep(_POLL)


def listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _startup(client: ChatClient, server: OwnServer | None) -> Startup | None:
    try:
        return client.startup()
    except NoAnswer as error:
        if server is None:
            raise StartupError(f"{error}; is the server running, and is --url right?") from None
        server.check()
        return Startup("starting")


def _end(process: subprocess.Popen[bytes], screen: Screen) -> None:
    try:
        if process.poll() is None:
            process.terminate()
            with screen.waiting() as say:
                say("stopping the server", "")
                process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        pass
    finally:  # also when a second Ctrl+C ends the wait
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _end_with_parent() -> None:
    """Between fork and exec: have the kernel send SIGTERM when the chat dies, also from SIGKILL."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _empty_log(folder: Path) -> Path:
    log = folder / "chat-server.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
    except OSError as error:
        raise StartupError(f"cannot write {log}: {error.strerror}; choose another folder with FATHOM_HOME") from None
    return log


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
