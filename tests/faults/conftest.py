import pytest
from fathom.serving.responses import queue, recorder, service

from tests.databases import database_url as database_url


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
