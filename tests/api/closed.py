"""An app that asks for keys, and what it says to those who have none."""

from collections.abc import Iterator

import httpx
import pytest
from fathom.engine.scripted_engine import ScriptedEngine

from tests.api.keys import Json, lock
from tests.running import app_running, until

WRONG = "fk-" + "a" * 43
"""A key that was never made."""


@pytest.fixture(scope="module")
def operator() -> Iterator[httpx.Client]:
    """Of an app that has keys. It sends the first one."""
    with app_running(ScriptedEngine()) as client:
        until(lambda: client.get("/readyz").status_code == 200, "the app is ready")
        lock(client)
        yield client


@pytest.fixture(scope="module")
def anyone(operator: httpx.Client) -> Iterator[httpx.Client]:
    """Of the same app. It sends none."""
    with httpx.Client(base_url=operator.base_url, timeout=30) as without:
        yield without


def unauthorized(answer: httpx.Response) -> Json:
    assert answer.status_code == 401, answer.text
    assert answer.headers["www-authenticate"] == "Bearer"
    body = answer.json()
    assert body["error"]["type"] in ("invalid_request_error", "authentication_error")
    return body["error"]


def send_raw(client: httpx.Client, method: str, path: str) -> int:
    """The status. The path goes out as it is written here."""
    request = client.build_request(method, "/x")
    request.extensions["target"] = path.encode()
    return client.send(request).status_code
