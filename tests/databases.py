"""Databases for tests: SQLite in a file, and a PostgreSQL server that the test run starts for itself."""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

_USER = "postgres"  # whom the server runs as where we are root, which it refuses
_PASSWORD = "grepped-for"
_TEMPLATE = "fathom_template"


def _binaries() -> Path | None:
    """Debian keeps a folder for each version, and its commands out of PATH."""
    folders = [Path(found).parent for found in (shutil.which("initdb"), shutil.which("postgres")) if found]
    folders += [folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if (folder / "initdb").exists()]
    return max(folders, key=lambda folder: int(folder.parent.name) if folder.parent.name.isdigit() else 0, default=None)


BINARIES = _binaries()
needs_postgresql = pytest.mark.skipif(
    BINARIES is None, reason="PostgreSQL is not installed (Debian: apt-get install postgresql)"
)


class PostgresServer:
    """A server with its own folder, on a free port of loopback. It ends with this process, however that ends."""

    def __init__(self, *, durable: bool = False) -> None:
        """`durable`: what was committed survives `kill`."""
        assert BINARIES, "no PostgreSQL"
        self._binaries = BINARIES
        self._folder = Path(tempfile.mkdtemp(prefix="fathom-postgresql-"))
        as_user: dict[str, Any] = {"user": _USER, "group": _USER, "extra_groups": []}
        self._as = as_user if os.geteuid() == 0 else {}
        if self._as:
            shutil.chown(self._folder, _USER, _USER)
        self._durable = durable
        self._has_template = False
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        password = self._folder / "password"
        password.write_text(_PASSWORD)
        self._run(
            *("initdb", "-D", self._folder / "data", "-U", "fathom", "--pwfile", password, "--auth", "scram-sha-256"),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )
        atexit.register(self.remove)

    def start(self) -> None:
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": ""}
        settings |= {"fsync": "on" if self._durable else "off", "max_connections": 200, "shared_buffers": "16MB"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*_END_WITH_US, self._binaries / "postgres", "-D", self._folder / "data", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                **self._as,
            )
        self._wait()

    def stop(self) -> None:
        """Its connections are cut."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """As a crash: SIGQUIT ends it, and all its processes, without a word to the disk."""
        self._end(signal.SIGQUIT)

    def freeze(self) -> None:
        """It stops to answer, and keeps its connections."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, signal: signal.Signals) -> None:
        assert self.process
        server = psutil.Process(self.process.pid)
        for process in (server, *server.children(recursive=True)):
            process.send_signal(signal)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run it. Returns rows as lines, columns parted by |."""
        return self._run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self._dsn(database), "-c", statement)

    def url(self, database: str) -> str:
        return f"postgresql+asyncpg://{self._dsn(database).removeprefix('postgresql://')}"

    def new_database(self) -> str:
        """The URL of a migrated one."""
        if not self._has_template:
            self.sql(f"CREATE DATABASE {_TEMPLATE}")
            migrate(self.url(_TEMPLATE))
            self._has_template = True
        return self.new_empty_database(_TEMPLATE)

    def new_empty_database(self, template: str = "template0") -> str:
        name = f"test_{uuid4().hex}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop(self, url: str) -> None:
        self.sql(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def _dsn(self, database: str) -> str:
        return f"postgresql://fathom:{_PASSWORD}@127.0.0.1:{self.port}/{database}"

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        ready = [str(self._binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, cwd="/").returncode != 0:
            assert self._runs, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, "PostgreSQL does not answer"
            time.sleep(0.05)

    @property
    def _runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _end(self, how: signal.Signals) -> None:
        if self.process and self._runs:
            self.process.send_signal(how)
            self.process.wait(60)

    def _run(self, command: str, *arguments: object) -> str:
        whole = [str(each) for each in (self._binaries / command, *arguments)]
        done = subprocess.run(whole, capture_output=True, encoding="utf-8", cwd="/", **self._as)
        assert done.returncode == 0, done.stderr
        output: str = done.stdout
        return output.strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# The kernel sends the signal when the thread that started the server ends: that must be the main one.
_END_WITH_US = ["setpriv", "--pdeathsig", "INT", "--"] if shutil.which("setpriv") else []


@cache
def postgres() -> PostgresServer:
    """The one of this test run."""
    server = PostgresServer()
    server.start()
    return server


def new_postgres_database() -> str:
    """The URL of a new one, migrated. It goes with the server, at the end of the test run."""
    return postgres().new_database()


def migrate(url: str) -> None:
    """With the command, as an operator would."""
    environment = {**os.environ, "FATHOM_STORE__URL": url}
    done = subprocess.run([sys.executable, "-m", "fathom", "migrate"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


DATABASES = ["sqlite", pytest.param("postgresql", marks=needs_postgresql)]


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of this test, migrated on PostgreSQL, not yet there on SQLite."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'fathom.db'}"
        return
    url = new_postgres_database()
    yield url
    postgres().drop(url)


@pytest.fixture(params=DATABASES)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of this test, without tables."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'folder' / 'fathom.db'}"
        return
    url = postgres().new_empty_database()
    yield url
    postgres().drop(url)
