"""Piped input, in this process, against a real server."""

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fathom.cli import chat_session
from fathom.core.errors import EngineUnavailable, StartupError
from fathom.core.events import Accepted, Event, TextDelta
from fathom.core.generation import GenerationRequest
from fathom.engine.scripted_engine import ScriptedEngine
from structlog.testing import capture_logs

from tests.unit.cli.scripted_server import ScriptedServer

Ended = tuple[int, str, str]
Chat = Callable[..., Ended]


def half_an_answer(_request: GenerationRequest) -> Iterable[Event | Exception]:
    return Accepted(1), TextDelta("Half an"), EngineUnavailable("The script is over.")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with capture_logs(), ScriptedServer(ScriptedEngine()) as running:  # its log would be in our stdout
        yield running


@pytest.fixture
def chat(
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Chat:
    """Feeds lines to a chat; returns its status and what it wrote to stdout and stderr."""
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path))
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)

    def run(
        text: str,
        *,
        model: str | None = None,
        url: str = server.url,
        system: str | None = None,
        show_trace: bool = True,
        **body: Any,
    ) -> Ended:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        capsys.readouterr()
        status = chat_session.run(model, url, None, system, body, show_trace)
        return status, *capsys.readouterr()

    return run


def contents(request: GenerationRequest) -> list[str]:
    return [message.content for message in request.prompt.messages]


def test_a_piped_line_is_answered_in_plain_text_and_figures_stay_out_of_stdout(chat: Chat) -> None:
    status, out, err = chat("hi there\n")
    assert out == "Let me think.\n\nhi there\n"
    assert "6 tokens (3 thinking), " in err
    assert status == 0


def test_the_trace_can_be_hidden(chat: Chat) -> None:
    assert chat("hi there", show_trace=False)[1] == "hi there\n"


def test_earlier_turns_are_sent_without_their_traces(chat: Chat, server: ScriptedServer) -> None:
    chat("one\n\ntwo\n", system="Be brief.")
    assert [(each.role, each.content, each.reasoning) for each in server.engine.requests[-1].prompt.messages] == [
        ("system", "Be brief.", None),
        ("user", "one", None),
        ("assistant", "one", None),
        ("user", "two", None),
    ]


def test_new_forgets_the_conversation_and_keeps_the_system_message(chat: Chat, server: ScriptedServer) -> None:
    chat("one\n/new\ntwo\n", system="Be brief.")
    assert contents(server.engine.requests[-1]) == ["Be brief.", "two"]


def test_exit_ends_before_the_next_line(chat: Chat, server: ScriptedServer) -> None:
    status, _, _ = chat("one\n/exit\ntwo\n")
    assert len(server.engine.requests) == 1
    assert status == 0


@pytest.mark.parametrize("command", ["/new", "/help", "/exit"])
def test_help_names_every_command(chat: Chat, command: str) -> None:
    assert f"{command} " in chat("/help\n")[2]


def test_an_unknown_command_is_not_sent_to_the_model(chat: Chat, server: ScriptedServer) -> None:
    assert "there is no command /nwe" in chat("/nwe\n")[2]
    assert not server.engine.requests


def test_a_line_that_begins_with_a_path_is_no_command(chat: Chat, server: ScriptedServer) -> None:
    chat("/etc/hosts is what?\n")
    assert contents(server.engine.requests[-1]) == ["/etc/hosts is what?"]


def test_a_turn_that_fails_is_forgotten_and_shows_in_the_status(chat: Chat, server: ScriptedServer) -> None:
    server.engine.script = half_an_answer
    status, out, err = chat("one\ntwo\n")
    assert out == "Half an\nHalf an\n"
    assert err == "The script is over.\nThe script is over.\n"
    assert contents(server.engine.requests[-1]) == ["two"]
    assert status == 1


def test_what_the_server_refuses_is_said_in_its_words(chat: Chat, server: ScriptedServer) -> None:
    status, out, err = chat("hi", temperature=3.0)
    assert (status, out) == (1, "")
    assert err.startswith("temperature: ")


def test_wishes_reach_the_engine(chat: Chat, server: ScriptedServer) -> None:
    chat("hi", temperature=0.5, max_tokens=7, enable_thinking=False)
    request = server.engine.requests[-1]
    assert (request.sampling.temperature, request.sampling.max_tokens) == (0.5, 7)
    assert request.reasoning.enabled is False


def test_bytes_that_are_no_text_are_replaced(chat: Chat, server: ScriptedServer) -> None:
    chat("caf\udce9\n")
    assert contents(server.engine.requests[-1]) == ["caf\ufffd"]


def test_a_model_by_the_name_that_it_is_served_under_is_taken(chat: Chat) -> None:
    assert chat("hi", model="scripted")[0] == 0


def test_a_model_that_is_not_served_is_named_beside_the_one_that_is(chat: Chat) -> None:
    with pytest.raises(StartupError, match="serves scripted, and not another; "):
        chat("hi", model="another")


def test_a_url_where_nothing_listens_is_an_error_and_starts_no_server(chat: Chat) -> None:
    with pytest.raises(StartupError, match=r"cannot reach http://127\.0\.0\.1:9: .* is the server running"):
        chat("hi", url="127.0.0.1:9")


@pytest.mark.parametrize("url", ["http://[::", "http://host:port"])
def test_a_url_that_is_none_is_an_error(chat: Chat, url: str) -> None:
    with pytest.raises(StartupError, match="is no address: "):
        chat("hi", url=url)
