"""Keys of an app that is under test, made over HTTP. The first one closes it."""

from typing import Any

import httpx

Json = dict[str, Any]


def lock(client: httpx.Client) -> Json:
    """Make the first key, with all scopes. The client sends it from now on."""
    made = new_key(client, scopes=["inference", "rollouts", "admin"])
    client.headers.update(bearer(made))
    return made


def new_key(client: httpx.Client, **fields: Any) -> Json:
    """With its `secret`."""
    answer = client.post("/admin/keys", json=fields)
    assert answer.status_code == 200, answer.text
    made: Json = answer.json()
    return made


def bearer(made: Json) -> dict[str, str]:
    """Headers that show it."""
    return {"authorization": f"Bearer {made['secret']}"}


def revoke(client: httpx.Client, made: Json) -> None:
    answer = client.delete(f"/admin/keys/{made['id']}")
    assert answer.status_code == 200, answer.text
