"""The whole program in a terminal, against a real server."""

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import pytest
from fathom.core.errors import EngineUnavailable
from fathom.core.events import Accepted, Event, TextDelta
from fathom.core.generation import GenerationRequest
from fathom.engine.scripted_engine import ScriptedEngine, think_then_answer

from tests.unit.cli.scripted_server import ScriptedServer, wait_for
from tests.unit.cli.terminal import CTRL_C, CTRL_D, ENTER, Terminal

pytestmark = pytest.mark.slow

PROMPT = "> "


def breaks(_request: GenerationRequest) -> Iterable[Event | Exception]:
    return Accepted(1), TextDelta("Half an"), EngineUnavailable("The engine has failed: it is only a script.")


def counts_for_ever(_request: GenerationRequest) -> Iterable[Event]:
    yield Accepted(1)
    for number in range(10_000):
        yield TextDelta(f"{number} ")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(ScriptedEngine()) as running:
        yield running


@pytest.fixture
def terminal(server: ScriptedServer, tmp_path: Path) -> Iterator[Terminal]:
    command = [sys.executable, "-m", "fathom", "chat", "--url", server.url]
    with Terminal(command, home=tmp_path) as opened:
        opened.expect(PROMPT)
        yield opened


def test_the_trace_is_dim_and_a_blank_line_and_the_answer_follow(terminal: Terminal) -> None:
    terminal.type("Why so blue?" + ENTER)
    terminal.expect(r"\x1b\[2mLet me\x1b\[0m\x1b\[2m think\.\x1b\[0m\r\n\r\nWhy so blue\?\r\n")


def test_a_dim_line_tells_tokens_and_speed_after_an_answer(terminal: Terminal) -> None:
    terminal.type("One two three" + ENTER)
    terminal.expect(r"\x1b\[2m7 tokens \(3 thinking\), [\d.]+ tokens/s, first token \d+\.\d\d s\x1b\[0m\r\n")
    terminal.expect(PROMPT)


def test_ctrl_c_stops_a_slow_answer_and_not_the_program(terminal: Terminal, server: ScriptedServer) -> None:
    server.engine.delay, server.engine.script = 0.05, counts_for_ever
    terminal.type("Count" + ENTER)
    terminal.expect(" 3 4 ")
    assert server.engine.running
    terminal.type(CTRL_C)
    terminal.expect("stopped")
    terminal.expect(PROMPT)
    wait_for(lambda: server.engine.aborted)
    assert not server.engine.running


def test_ctrl_c_stops_the_wait_for_a_first_token(terminal: Terminal, server: ScriptedServer) -> None:
    server.engine.delay = 30
    terminal.type("Think long" + ENTER)
    wait_for(lambda: server.engine.running)
    terminal.type(CTRL_C)
    terminal.expect("stopped")
    terminal.expect(PROMPT)


def test_what_came_of_a_stopped_answer_stays_in_the_history_and_says_so(
    terminal: Terminal, server: ScriptedServer
) -> None:
    server.engine.script, server.engine.delay = counts_for_ever, 0.05
    terminal.type("Count" + ENTER)
    terminal.expect("0 1 2 ")
    terminal.type(CTRL_C)
    terminal.expect(PROMPT)
    server.engine.script, server.engine.delay = think_then_answer, 0
    terminal.type("Go on" + ENTER)
    terminal.expect("tokens/s")
    question, answer, _ = server.engine.requests[-1].prompt.messages
    assert (question.role, question.content, answer.role) == ("user", "Count", "assistant")
    assert answer.content.startswith("0 1 2 ")
    assert answer.content.endswith(" [stopped]")


def test_an_error_in_the_middle_is_a_red_line_and_the_chat_goes_on(terminal: Terminal, server: ScriptedServer) -> None:
    server.engine.script = breaks
    terminal.type("Hello" + ENTER)
    terminal.expect(r"Half an\r\n\x1b\[31mThe engine has failed: it is only a script\.\x1b\[0m\r\n")
    terminal.expect(PROMPT)


def test_the_up_key_brings_the_last_line_back(terminal: Terminal, server: ScriptedServer) -> None:
    terminal.type("Again and again" + ENTER)
    terminal.expect("tokens/s")
    terminal.expect(PROMPT)
    terminal.type("\x1b[A" + ENTER)
    terminal.expect("tokens/s")
    assert server.engine.requests[-1].prompt.messages[-1].content == "Again and again"


@pytest.fixture
def secret(server: ScriptedServer) -> str:
    """Of the first key of the server, which is closed by it."""
    made: str = httpx.post(f"{server.url}/admin/keys", json={}).json()["secret"]
    return made


@pytest.mark.parametrize("variable", ["FATHOM_API_KEY", "OPENAI_API_KEY", None])
def test_a_server_with_keys_is_talked_to_with_one(
    server: ScriptedServer, secret: str, tmp_path: Path, variable: str | None
) -> None:
    chat = [sys.executable, "-m", "fathom", "chat", "--url", server.url]
    command = ["env", f"{variable}={secret}", *chat] if variable else [*chat, "--api-key", secret]
    with Terminal(command, home=tmp_path) as terminal:
        terminal.expect(PROMPT)
        terminal.type("One two" + ENTER)
        terminal.expect("tokens/s")
        assert secret not in terminal.screen


def test_without_a_key_it_is_said_how_to_give_one(server: ScriptedServer, secret: str, tmp_path: Path) -> None:
    with Terminal([sys.executable, "-m", "fathom", "chat", "--url", server.url], home=tmp_path) as terminal:
        terminal.expect("asks for an API key")
        terminal.expect("FATHOM_API_KEY")
        assert terminal.ends() == 1


def test_ctrl_d_at_the_prompt_ends_with_status_0(terminal: Terminal) -> None:
    terminal.type(CTRL_D)
    assert terminal.ends() == 0
    assert terminal.screen.endswith("\n")


def test_ctrl_c_at_the_prompt_ends_with_status_0(terminal: Terminal) -> None:
    terminal.rest()
    terminal.type(CTRL_C)
    assert terminal.ends() == 0
    assert "Traceback" not in terminal.screen


def test_sigterm_ends_the_program_quietly(terminal: Terminal) -> None:
    terminal.rest()
    os.kill(terminal.process.pid, signal.SIGTERM)
    assert terminal.ends() == 128 + signal.SIGTERM
    assert "Traceback" not in terminal.screen
