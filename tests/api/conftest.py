from collections.abc import Iterator

import httpx
import pytest
from fathom.engine.scripted_engine import ScriptedEngine

from tests.running import app_running, until


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def client(engine: ScriptedEngine) -> Iterator[httpx.Client]:
    with app_running(engine) as client:
        until(lambda: client.get("/readyz").status_code == 200, "the app is ready")
        yield client


def chat_body(**fields: object) -> dict[str, object]:
    return {"model": "scripted", "messages": [{"role": "user", "content": "one two three"}], **fields}
