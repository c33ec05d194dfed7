import json
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fathom.cli.keys import create, list_, revoke, rotate, show
from fathom.core.errors import StartupError
from fathom.core.tenant import Scope

from tests.unit.cli.terminal import Terminal, environment

SECRET = r"fk-[A-Za-z0-9_-]{43}"
FATHOM = [sys.executable, "-m", "fathom"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    """What a command prints as JSON."""

    def run(command: Any, *arguments: Any, **options: Any) -> Any:
        capsys.readouterr()
        command(*arguments, json=True, **options)
        out, err = capsys.readouterr()
        assert err == ""
        return json.loads(out)

    return run


def test_a_key_is_made_as_it_was_asked_for(said) -> None:
    made = said(
        create,
        name="ci",
        tenant="us",
        scope=[Scope.ADMIN, Scope.INFERENCE],
        weight=2,
        rpm=60,
        tpm=1000,
        concurrent=4,
        budget=5000,
        period="day",
        max_tokens=100,
        max_context=200,
        expires="90d",
    )
    assert re.fullmatch(SECRET, made["secret"])
    assert (made["name"], made["tenant"], made["scopes"], made["weight"]) == ("ci", "us", ["admin", "inference"], 2)
    assert made["limits"] == {
        "requests_per_minute": 60,
        "tokens_per_minute": 1000,
        "concurrent": 4,
        "budget": 5000,
        "period": "day",
        "max_tokens": 100,
        "max_context": 200,
    }
    assert abs(made["expires_at"] - time.time() - 90 * 86400) < 60


def test_a_key_of_which_nothing_is_said_opens_inference_and_does_not_end(said) -> None:
    made = said(create)
    assert (made["tenant"], made["scopes"], made["expires_at"]) == ("default", ["inference"], None)


def test_the_secret_is_on_stdout_once_and_the_remark_is_not(capsys: pytest.CaptureFixture[str], said) -> None:
    create(name="ci", rpm=60, budget=100_000)
    out, err = capsys.readouterr()
    assert len(re.findall(SECRET, out)) == 1
    assert "limits   60 requests a minute, 100,000 tokens a month\n" in out
    assert err == "The secret is shown this once: it is not stored.\n"
    [key] = said(list_)
    assert "secret" not in key
    show(key["id"])
    shown = capsys.readouterr().out
    assert f"secret   {key['prefix']}...\n" in shown
    assert not re.search(SECRET, shown)


def test_keys_are_listed_by_tenant(capsys: pytest.CaptureFixture[str], said) -> None:
    ids = [said(create, name=f"[red]{at}", tenant=tenant)["id"] for at, tenant in enumerate(["us", "them", "us"])]
    assert [key["id"] for key in said(list_)] == ids
    assert [key["id"] for key in said(list_, tenant="us")] == ids[::2]
    list_()
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 4
    assert ids[1] in rows[2]
    assert "[red]1" in rows[2]
    assert "them" in rows[2]


def test_a_key_is_rotated_with_a_grace_period(said, capsys: pytest.CaptureFixture[str]) -> None:
    made = said(create)
    rotated = said(rotate, made["id"], grace="12h")
    assert rotated["secret"] != made["secret"]
    assert abs(rotated["old_secret_until"] - time.time() - 12 * 3600) < 60
    show(made["id"])
    assert "the one before opens until" in capsys.readouterr().out
    assert said(rotate, made["id"])["old_secret_until"] is None


def test_a_revoked_key_is_said_to_be(said) -> None:
    made = said(create)
    assert said(revoke, made["id"])["status"] == "revoked"
    assert said(show, made["id"])["revoked_at"]
    with pytest.raises(StartupError, match="for good"):
        rotate(made["id"])


@pytest.mark.parametrize("command", [show, rotate, revoke])
def test_a_key_that_is_not_there_is_one_line(command) -> None:
    with pytest.raises(StartupError, match="There is no key 'key_x' here"):
        command("key_x")


@pytest.mark.parametrize(("option", "value"), [("tenant", "a b"), ("weight", 0.0), ("name", "x" * 200)])
def test_what_a_key_cannot_be_is_one_line(option, value) -> None:
    with pytest.raises(StartupError) as refused:
        create(**{option: value})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "0d", "d", "5", "1y", "-1d", "1.5h", "90 d", "９d", "9999999999d"])
def test_a_time_that_is_none_is_refused_with_an_example(text) -> None:
    with pytest.raises(StartupError, match=r"--expires .* looks like 30m"):
        create(expires=text)


def test_a_database_that_cannot_be_reached_is_one_line_without_the_password() -> None:
    for command in (create, list_):
        with pytest.raises(StartupError, match="Connect call failed") as caught:
            command(set_=["store.url=postgresql+asyncpg://me:hidden@127.0.0.1:1/x"])
        assert "hidden" not in str(caught.value)


def test_a_server_that_does_not_follow_is_warned_of(home: Path, said, capsys, monkeypatch) -> None:
    said(create)
    with closing(sqlite3.connect(home / "fathom.db")) as file, file:
        file.execute("INSERT INTO servers (id, seen_at) VALUES ('elsewhere/1/0.00', 1)")
    monkeypatch.setattr("fathom.serving.keys.PATIENCE", 0.1)
    create(json=True)
    out, err = capsys.readouterr()
    assert json.loads(out)["secret"]
    assert err.startswith("warning: the server elsewhere/1/0.00 has not seen this")


@pytest.mark.slow
def test_in_a_terminal_the_secret_is_whole_and_the_list_has_colours(home: Path) -> None:
    with Terminal([*FATHOM, "keys", "create", "--name", "ci"], home) as terminal:
        terminal.expect(f"secret   {SECRET}\r\n")
        terminal.expect("shown this once")
        assert terminal.ends() == 0
    with Terminal([*FATHOM, "keys", "list"], home) as terminal:
        terminal.expect("\x1b\\[1mid")
        terminal.expect("key_[0-9a-f]{32}")
        assert terminal.ends() == 0


@pytest.mark.slow
def test_a_command_line_that_cannot_be_read_ends_with_status_2(home: Path) -> None:
    for wrong in (
        ["create", "--rpm", "0"],
        ["create", "--scope", "everything"],
        ["create", "--period", "year"],
        ["show"],
    ):
        done = subprocess.run([*FATHOM, "keys", *wrong], env=environment(home), capture_output=True, text=True)
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""


@pytest.mark.slow
def test_an_error_is_one_line_on_stderr_and_status_1(home: Path) -> None:
    done = subprocess.run([*FATHOM, "keys", "show", "key_x"], env=environment(home), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "fathom: error: There is no key 'key_x' here.\n"
