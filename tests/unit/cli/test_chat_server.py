"""The server that a chat starts for itself; a scripted one stands in for `fathom serve`."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from fathom.serving.keys import Keys, NewKey
from fathom.store.database import Database

from tests.running import until
from tests.unit.cli.scripted_server import wait_for
from tests.unit.cli.terminal import CTRL_C, CTRL_D, ENTER, Terminal, environment

pytestmark = pytest.mark.slow

SCRIPTED = [sys.executable, "-m", "tests.unit.cli.scripted_server"]
FAILS = [sys.executable, "-c", "print('loading'); print('fathom: error: no memory; buy some.'); raise SystemExit(1)"]
NEVER_LISTENS = [sys.executable, "-c", "import time; time.sleep(600)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(600)",
]


def chat(serve: list[str], *arguments: str) -> list[str]:
    """`fathom chat` with another command to serve with, and a port at which nothing listens."""
    code = (
        "from fathom.cli import app, chat_server;"
        f"chat_server.SERVE, chat_server.PORT, chat_server.SECONDS_TO_END = {serve!r}, 9, 1;"
        "app()"
    )
    return [sys.executable, "-c", code, "chat", *arguments]


def piped(command: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, input="hi\n", env=environment(home), capture_output=True, text=True, timeout=60, check=False
    )


def server_of(process: "subprocess.Popen[bytes]") -> psutil.Process:
    wait_for(psutil.Process(process.pid).children)
    return psutil.Process(process.pid).children()[0]


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_chat_without_a_server_starts_one_and_tells_its_phases(tmp_path: Path) -> None:
    ended = piped(chat(SCRIPTED), tmp_path)
    assert ended.stdout == "Let me think.\n\nhi\n"
    assert "loading weights ...\n" in ended.stderr
    assert ended.returncode == 0


def test_a_chat_with_its_own_server_needs_no_key_and_leaves_the_keys_closed(tmp_path: Path) -> None:
    asyncio.run(lock(tmp_path))
    ended = piped(chat(SCRIPTED), tmp_path)
    assert ended.stdout == "Let me think.\n\nhi\n", ended.stderr
    assert asyncio.run(lock(tmp_path)) == 2
    with closing(sqlite3.connect(tmp_path / "chat.db")) as file:
        assert file.execute("SELECT count(*) FROM keys").fetchone() == (0,)


async def lock(home: Path) -> int:
    """Make a key in the database of `home`. Returns how many there are."""
    database = Database(f"sqlite+aiosqlite:///{home}/fathom.db")
    await database.start()
    await Keys(database).create(NewKey())
    count = len(await Keys(database).page())
    await database.stop()
    return count


def test_the_model_is_what_the_server_is_started_with(tmp_path: Path) -> None:
    with Terminal(chat(SCRIPTED, "tiny"), tmp_path) as terminal:
        terminal.expect("served-tiny at http://127.0.0.1:")


def test_on_a_terminal_the_seconds_of_the_start_go_by(tmp_path: Path) -> None:
    with Terminal(chat(SCRIPTED), tmp_path) as terminal:
        terminal.expect("loading weights 50%, [0-9]+ s")
        terminal.expect("> ")


def test_the_server_ends_with_the_chat(tmp_path: Path) -> None:
    with Terminal(chat(SCRIPTED), tmp_path) as terminal:
        terminal.expect("> ")
        server = server_of(terminal.process)
        terminal.type(CTRL_D)
        assert terminal.ends() == 0
        assert has_ended(server)


def test_the_server_writes_to_a_log_and_not_to_the_screen(tmp_path: Path) -> None:
    with Terminal(chat(SCRIPTED), tmp_path) as terminal:
        terminal.expect("> ")
        terminal.type("hi" + ENTER)
        terminal.expect("tokens/s")
        log = tmp_path / "logs" / "chat-server.log"
        until(lambda: "/v1/chat/completions" in log.read_text(), "the request is logged")
        assert "/v1/chat/completions" not in terminal.screen


def test_a_server_that_fails_to_start_is_one_line_and_status_1(tmp_path: Path) -> None:
    ended = piped(chat(FAILS), tmp_path)
    assert ended.returncode == 1
    assert ended.stdout == ""
    log = tmp_path / "logs" / "chat-server.log"
    assert ended.stderr.splitlines()[-1] == f"fathom: error: no memory; buy some (the server's log: {log})"
    assert "Traceback" not in ended.stderr


def test_a_server_that_dies_in_the_middle_ends_the_chat(tmp_path: Path) -> None:
    with Terminal(chat(SCRIPTED), tmp_path) as terminal:
        terminal.expect("> ")
        server_of(terminal.process).kill()
        time.sleep(0.1)
        terminal.type("hi" + ENTER)
        terminal.expect("cannot reach")
        terminal.expect("the server was ended by SIGKILL")
        assert terminal.ends() == 1


def test_ctrl_c_during_the_start_ends_the_server_and_the_chat(tmp_path: Path) -> None:
    with Terminal(chat(NEVER_LISTENS), tmp_path) as terminal:
        terminal.expect("starting")
        server = server_of(terminal.process)
        terminal.type(CTRL_C)
        assert terminal.ends() == 130
        assert has_ended(server)
        assert "Traceback" not in terminal.screen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_that_ends_the_chat_ends_the_server(tmp_path: Path, number: signal.Signals) -> None:
    with Terminal(chat(NEVER_LISTENS), tmp_path) as terminal:
        terminal.expect("starting")
        server = server_of(terminal.process)
        os.kill(terminal.process.pid, number)
        wait_for(lambda: has_ended(server))


def test_closing_the_window_ends_the_server(tmp_path: Path) -> None:
    with Terminal(chat(NEVER_LISTENS), tmp_path) as terminal:
        terminal.expect("starting")
        server = server_of(terminal.process)
        terminal.hang_up()
        wait_for(lambda: has_ended(server))


def test_a_server_that_does_not_listen_to_sigterm_is_killed(tmp_path: Path) -> None:
    with Terminal(chat(DEAF), tmp_path) as terminal:
        wait_for(lambda: (tmp_path / "logs" / "chat-server.log").is_file())
        wait_for(lambda: (tmp_path / "logs" / "chat-server.log").read_text())
        server = server_of(terminal.process)
        os.kill(terminal.process.pid, signal.SIGTERM)
        terminal.ends()
        assert has_ended(server)


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    ended = piped(chat(SCRIPTED), tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.startswith("fathom: error: cannot write ")
    assert ended.stderr.count("\n") == 1
