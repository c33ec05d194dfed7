"""The whole program against the real app, and against servers that are none."""

import json
import re
import socket
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fathom import cli
from fathom.core.errors import EngineUnavailable, StartupError
from fathom.core.events import Accepted, Event, Finished, TextDelta
from fathom.core.generation import GenerationRequest
from fathom.engine.scripted_engine import ScriptedEngine
from typer.testing import CliRunner, Result

from tests.unit.cli.canned import Canned, canned_server
from tests.unit.cli.scripted_server import ScriptedServer, wait_for
from tests.unit.cli.terminal import CTRL_C, Terminal


def never_ends(_request: GenerationRequest) -> Iterable[Event]:
    yield Accepted(1)
    for _ in range(100_000):
        yield TextDelta("word ")


def breaks(_request: GenerationRequest) -> Iterable[Event | Exception]:
    return Accepted(1), TextDelta("Half an"), EngineUnavailable("The engine has failed: it is only a script.")


class Fickle:
    """Breaks every second answer, once the first has come."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, request: GenerationRequest) -> Iterable[Event | Exception]:
        self.asked += 1
        if self.asked % 2 == 0:
            return breaks(request)
        return Accepted(1), TextDelta("Yes"), Finished("stop", 1, 1)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(ScriptedEngine()) as running:
        wait_for(lambda: httpx.get(f"{running.url}/readyz").status_code == 200)
        yield running


@pytest.fixture
def canned() -> Iterator[Canned]:
    with canned_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FATHOM_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def bench(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(cli._cli, ["bench", *map(str, arguments)], env=environment)


def measured(server: ScriptedServer, folder: Path, *options: object) -> dict[str, Any]:
    file = folder / "figures.json"
    result = bench(server.url, "--streams", "2", "--json", file, *options)
    assert result.exit_code == 0, result.output
    content: dict[str, Any] = json.loads(file.read_text())
    return content


def refused(*arguments: object, **environment: str) -> str:
    """The one line of a run that measured nothing."""
    result = bench(*arguments, **environment)
    assert isinstance(result.exception, StartupError), result.output
    assert "tokens/s" not in result.stdout
    return str(result.exception)


def test_it_measures_trace_and_answer_of_a_real_server(server: ScriptedServer, tmp_path: Path) -> None:
    content = measured(server, tmp_path, "--requests", 6, "--input-tokens", 20)
    [level] = content["levels"]
    assert (content["server"], content["model"]) == (server.url, "scripted")
    assert (level["streams"], level["requests"], level["answered"], level["failed"]) == (2, 6, 6, 0)
    assert level["reasoning_tokens"] == 6 * 3
    assert level["prompt_tokens"] == 6 * 7
    assert level["time_to_first_token"]["p50"] < level["time_to_first_answer_token"]["p50"]
    assert (level["uncounted"], level["trace_uncounted"]) == (0, 0)
    assert [note for note in content["notes"] if "CPU core" not in note] == []  # so it may be, on a busy machine


def test_the_table_has_the_levels_in_its_columns(server: ScriptedServer) -> None:
    result = bench(server.url, "--streams", "1,2", "--requests", 2, "--seed", 7)
    assert result.exit_code == 0
    assert f"scripted at {server.url}, " in result.stdout
    assert "seed 7\n" in result.stdout
    assert re.search(r"^streams +1 +2$", result.stdout, re.MULTILINE)
    assert re.search(r"^  reasoning tokens/s +[\d,.]+ +[\d,.]+$", result.stdout, re.MULTILINE)
    assert result.stderr == "1 stream, 2 requests ...\n2 streams, 2 requests ...\n"


def test_never_more_requests_run_than_there_are_streams(server: ScriptedServer, tmp_path: Path) -> None:
    server.engine.delay = 0.002
    most = 0

    def count(request: GenerationRequest) -> Iterable[Event]:
        nonlocal most
        most = max(most, len(server.engine.running))
        return Accepted(1), TextDelta("Yes"), Finished("stop", 1, 1)

    server.engine.script = count
    measured(server, tmp_path, "--streams", "3", "--requests", 12)
    assert most == 3


def test_requests_say_what_the_options_say(server: ScriptedServer, tmp_path: Path) -> None:
    options = ["--max-tokens", 5, "--ignore-eos", "--no-think", "--set", "temperature=0", "--shared-prefix", 30]
    measured(server, tmp_path, *options, "--warm-up", 1)
    requests = server.engine.requests
    assert len(requests) == 1 + 4
    assert {request.sampling.max_tokens for request in requests} == {5}
    assert {request.sampling.ignore_eos for request in requests} == {True}
    assert {request.sampling.temperature for request in requests} == {0}
    assert {request.reasoning.enabled for request in requests} == {False}
    assert len({request.prompt.messages[0].content for request in requests}) == 1
    assert len({request.prompt.messages[1].content for request in requests}) == 5


def test_failures_are_counted_with_their_reason_and_the_rest_is_measured(
    server: ScriptedServer, tmp_path: Path
) -> None:
    server.engine.script = Fickle()
    content = measured(server, tmp_path, "--streams", "1", "--requests", 4)
    [level] = content["levels"]
    assert (level["answered"], level["failed"]) == (2, 2)
    assert level["reasons"] == {"The engine has failed: it is only a script.": 2}
    assert content["notes"][0] == ("1 stream: 2 of 4 requests failed: The engine has failed: it is only a script.")


def test_an_answer_that_takes_too_long_is_a_failure(server: ScriptedServer) -> None:
    server.engine.script, server.engine.delay = never_ends, 0.01
    line = refused(server.url, "--streams", 1, "--timeout", 0.3, "--warm-up", 0)
    assert line == "all 4 requests failed: no whole answer within 0.3 s"
    wait_for(lambda: not server.engine.running)


def test_a_server_that_answers_nothing_is_found_out_by_the_first_request(server: ScriptedServer) -> None:
    server.engine.script = breaks
    assert refused(server.url) == (
        f"the first request to {server.url} failed: The engine has failed: it is only a script."
    )


def test_a_key_is_taken_from_option_and_environment_and_shown_nowhere(server: ScriptedServer, tmp_path: Path) -> None:
    secret: str = httpx.post(f"{server.url}/admin/keys", json={}).json()["secret"]
    line = refused(server.url)
    assert "give a key with --api-key, or in FATHOM_API_KEY" in line
    file = tmp_path / "figures.json"
    for options, environment in (
        (["--api-key", secret], {}),
        ([], {"FATHOM_API_KEY": secret}),
        ([], {"OPENAI_API_KEY": secret}),
    ):
        result = bench(server.url, "--streams", 1, "--json", file, *options, **environment)
        assert result.exit_code == 0
        assert secret not in result.output + file.read_text()
    assert secret not in refused(server.url, "--api-key", secret + "\r")


def test_a_password_in_the_url_is_shown_nowhere(server: ScriptedServer) -> None:
    result = bench(server.url.replace("://", "://me:hidden@"), "--streams", 1)
    assert f"scripted at {server.url}, " in result.stdout
    assert "hidden" not in result.output


def test_an_unknown_model_is_one_line_that_says_what_is_served(server: ScriptedServer) -> None:
    line = refused(server.url, "--model", "gpt-9")
    assert line == f"the server at {server.url} serves scripted, and not gpt-9; see --model"


def test_a_server_that_is_not_there_is_one_line() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        assert refused(url).startswith(f"cannot reach {url}: ")


@pytest.mark.parametrize("url", ["http://[::1", "ftp://host", "http://host:port"])
def test_what_is_no_address_is_one_line(url: str) -> None:
    assert "looks like http://127.0.0.1:8000" in refused(url)


def test_a_server_without_a_list_of_models_is_one_line(canned: Canned) -> None:
    canned.status, canned.body = 404, b"<html>"
    url = f"http://127.0.0.1:{canned.server_port}"
    assert refused(url) == f"{url}/v1/models answers 404 Not Found; name a model with --model"


def test_without_a_list_of_models_a_named_one_is_asked_for(canned: Canned) -> None:
    canned.body = b'data: {"choices": [{"delta": {"content": "Yes"}}]}\n\ndata: [DONE]\n\n'
    result = bench(f"http://127.0.0.1:{canned.server_port}/v1", "--model", "m", "--streams", 1)
    assert result.exit_code == 0, result.output
    assert json.loads(canned.seen["body"])["model"] == "m"
    assert "note: the server sent no usage for 4 of 4 answers: chunks are counted in place of tokens" in result.stdout


def test_an_answer_that_is_no_stream_is_no_answer(canned: Canned) -> None:
    canned.body = b'{"choices": [{"message": {"content": "Yes"}}]}'
    url = f"http://127.0.0.1:{canned.server_port}"
    assert refused(url, "--model", "m").endswith("failed: the stream ended before its answer did")


def test_a_file_that_cannot_be_written_is_found_before_the_load(server: ScriptedServer, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no" / "file.json"):
        assert "cannot be written; name a file in a folder that exists" in refused(server.url, "--json", path)
    assert server.engine.requests == []


@pytest.mark.slow
def test_ctrl_c_prints_what_was_measured_and_ends_with_status_130(server: ScriptedServer, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fathom", "bench", server.url, "--streams", "1,2", "--requests", "1000000"]
    with Terminal(command, home=tmp_path) as terminal:
        terminal.expect(r"1 stream .*[1-9]\d*/1000000")
        terminal.type(CTRL_C)
        terminal.expect(r"output tokens/s +[\d,.]+")
        terminal.expect("note: stopped before the end")
        assert terminal.ends() == 130
        assert "Traceback" not in terminal.screen
    wait_for(lambda: not server.engine.running)


@pytest.mark.slow
def test_ctrl_c_before_anything_was_measured_says_so(server: ScriptedServer, tmp_path: Path) -> None:
    server.engine.delay = 30
    with Terminal([sys.executable, "-m", "fathom", "bench", server.url], home=tmp_path) as terminal:
        wait_for(lambda: server.engine.running, 60)
        terminal.type(CTRL_C)
        terminal.expect("stopped before anything was measured")
        assert terminal.ends() == 130
        assert "Traceback" not in terminal.screen
