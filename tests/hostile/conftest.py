from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.contract.cases import MODEL
from tests.hostile.canary import Canary
from tests.hostile.score import TOTAL
from tests.hostile.target import Target
from tests.running import Server, start_program

COUNT = " ".join(map(str, range(1, 40)))  # a text that a model goes on with without a doubt

Keyed = tuple[Target, dict[str, dict[str, str]]]


def dialects(model: str) -> dict[str, dict[str, Any]]:
    messages = [{"role": "user", "content": "one two"}]
    bodies: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {"messages": messages, "max_tokens": 4},
        "/v1/completions": {"prompt": "one two", "max_tokens": 4},
        "/v1/responses": {"input": "one two", "max_output_tokens": 4},
        "/v1/responses/input_tokens": {"input": "one two"},
        "/v1/messages": {"messages": messages, "max_tokens": 4},
        "/v1/messages/count_tokens": {"messages": messages},
        "/v1/embeddings": {"input": "one two"},
        "/tokenize": {"prompt": "one two"},
        "/detokenize": {"tokens": [65, 66]},
    }
    return {path: {"model": model, **body} for path, body in bodies.items()}


@pytest.fixture(scope="package")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """`fathom serve` with a scripted engine."""
    with scripted(tmp_path_factory.mktemp("hostile") / "server.log") as target:
        yield target


@contextmanager
def scripted(log: Path, **settings: str) -> Iterator[Target]:
    server = start_program("tests.hostile.scripted_serve", log, **settings)
    try:
        server.wait_ready(60)
        yield Target(server, dialects("scripted"), Canary(server.url, {"model": "scripted", "prompt": COUNT}))
        assert "request failed" not in log.read_text()
    finally:
        server.kill()


@pytest.fixture(scope="package")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    """One that asks for keys: with it, the headers of an admin and of two tenants."""
    with scripted(tmp_path_factory.mktemp("keyed") / "server.log") as target:
        headers: dict[str, dict[str, str]] = {}
        for tenant, scopes in {
            "admin": ["inference", "rollouts", "admin"],
            "a": ["inference"],
            "b": ["inference"],
        }.items():
            made = target.server.client.post(
                "/admin/keys", json={"tenant": tenant, "scopes": scopes}, headers=headers.get("admin")
            )
            headers[tenant] = {"Authorization": f"Bearer {made.json()['secret']}"}
        target.canary.headers = headers["admin"]
        yield target, headers


@pytest.fixture(scope="package")
def real(server: Server) -> Target:
    """The server of all tests that need a model, with all begun that it begins on first use."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    server.chat("x", max_tokens=2, structured_outputs={"json": schema})
    return Target(server, dialects(MODEL), Canary(server.url, {"model": MODEL, "prompt": COUNT, "max_tokens": 40}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TOTAL.inputs:
        terminalreporter.section("hostile input")
        for line in TOTAL.lines():
            terminalreporter.line(line)
