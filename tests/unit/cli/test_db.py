import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import typer
from fathom.cli.db import check
from fathom.cli.migrate import migrate
from fathom.core.errors import StartupError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path))
    return tmp_path


def test_migrate_makes_the_file_under_home_and_says_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        migrate()
        assert capsys.readouterr().out == f"sqlite+aiosqlite:///{home}/fathom.db is up to date\n"


def test_settings_name_another_database(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "other.toml").write_text(f"[store]\nurl = 'sqlite:///{home}/a.db'\n")
    migrate(config=home / "other.toml")
    migrate(set_=[f"store.url=sqlite:///{home}/b.db"])
    assert sorted(path.name for path in home.glob("*.db")) == ["a.db", "b.db"]


def test_a_whole_database_is_said_to_be(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    migrate()
    check()
    assert capsys.readouterr().out.splitlines()[-1] == f"sqlite+aiosqlite:///{home}/fathom.db is whole"


def test_a_check_that_finds_problems_names_them_and_fails(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    migrate()
    with closing(sqlite3.connect(home / "fathom.db")) as file, file:
        file.execute("INSERT INTO response_items VALUES ('resp_1', 'input', 1, 'a', '{}')")
    with pytest.raises(typer.Exit) as ended:
        check()
    assert ended.value.exit_code == 1
    assert [line.partition("fathom.db: ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "items are missing: resp_1",
        "items without a response: resp_1",
    ]


def test_a_check_makes_no_database(home: Path) -> None:
    with pytest.raises(StartupError, match="fathom migrate"):
        check()
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("command", [migrate, check])
def test_a_database_that_cannot_be_reached_is_one_line_without_the_password(command) -> None:
    with pytest.raises(StartupError, match="Connect call failed") as caught:
        command(set_=["store.url=postgresql+asyncpg://me:hidden@127.0.0.1:1/x"])
    assert "hidden" not in str(caught.value)
