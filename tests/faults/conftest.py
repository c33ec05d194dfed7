import os
import random
from pathlib import Path

import pytest
from fathom.serving.responses import queue, recorder, service

from tests.databases import database_url as database_url
from tests.faults.scorecard import CARD, Scorecard


def pytest_configure(config: pytest.Config) -> None:
    config.stash[CARD] = Scorecard(int(os.environ.get("FAULTS_SEED") or random.randrange(1 << 32)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    def modules(outcome: str) -> list[str]:
        return [Path(report.nodeid.partition("::")[0]).stem for report in terminalreporter.getreports(outcome)]

    lines = config.stash[CARD].lines(modules("passed"), modules("failed") + modules("error"))
    if lines:
        terminalreporter.section("faults")
        terminalreporter.write_line("\n".join(lines))


@pytest.fixture(scope="session")
def card(pytestconfig: pytest.Config) -> Scorecard:
    return pytestconfig.stash[CARD]


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens now and then happens often, and clients wait for a store that is away half a second."""
    monkeypatch.setattr(recorder, "EVERY", 0.05)
    monkeypatch.setattr(recorder, "PATIENCE", 0.5)
    monkeypatch.setattr(queue, "EVERY", 0.05)
    monkeypatch.setattr(service, "_LOOK_EVERY", 0.05)


@pytest.fixture
def patience(hurry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As clients have it in earnest."""
    monkeypatch.setattr(recorder, "PATIENCE", 10.0)
