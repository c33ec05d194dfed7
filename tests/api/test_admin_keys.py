"""/admin/keys: what an operator does with keys over HTTP."""

import asyncio
import time

import pytest
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.settings import load

from tests.api.conftest import chat_body
from tests.api.keys import bearer, lock, new_key, revoke
from tests.databases import database_url as database_url
from tests.running import app_running, until
from tests.store.rows import meddle

URL = "/admin/keys"
LIMITS = {
    "requests_per_minute": 60,
    "tokens_per_minute": None,
    "concurrent": 2,
    "budget": 1000,
    "period": "day",
    "max_tokens": None,
    "max_context": None,
}


def test_a_key_is_made_with_what_was_asked_for_and_its_secret_is_told_once(client):
    lock(client)
    end = int(time.time()) + 3600
    given = {name: value for name, value in LIMITS.items() if value}
    made = new_key(
        client, name="ci", tenant="us", scopes=["rollouts", "inference"], weight=2, limits=given, expires_at=end
    )
    secret = made.pop("secret")
    assert secret.startswith(made["prefix"])
    assert made | {"id": "", "created_at": 0, "prefix": ""} == {
        "object": "key",
        "id": "",
        "name": "ci",
        "tenant": "us",
        "prefix": "",
        "status": "active",
        "scopes": ["inference", "rollouts"],
        "weight": 2.0,
        "limits": LIMITS,
        "created_at": 0,
        "expires_at": end,
        "revoked_at": None,
        "old_secret_until": None,
    }
    assert abs(made["created_at"] - time.time()) < 60
    assert client.get(f"{URL}/{made['id']}").json() == made
    assert secret not in client.get(URL).text


def test_a_key_of_which_nothing_is_said_opens_inference_for_everyones_tenant(client):
    lock(client)
    made = new_key(client)
    assert (made["scopes"], made["tenant"], made["name"]) == (["inference"], "default", "")
    assert set(made["limits"].values()) == {None, "month"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": 1}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"tenant": "a b"}, "tenant"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes.0"),
        ({"weight": 0}, "weight"),
        ({"limits": {"rpm": 5}}, "limits.rpm"),
        ({"limits": {"budget": 0}}, "limits.budget"),
        ({"limits": {"budget": 2**63}}, "limits.budget"),
        ({"limits": {"period": "year"}}, "limits.period"),
        ({"expires_at": 1}, "expires_at"),
        ({"expires_at": 10**30}, "expires_at"),
        ({"expires": 1}, "expires"),
        ([], None),
    ],
)
def test_what_a_key_cannot_be_is_400_and_named(client, body, param):
    lock(client)
    answer = client.post(URL, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param
    assert len(client.get(URL).json()["data"]) == 1


def test_keys_are_listed_in_pages_oldest_first(client):
    ids = [lock(client)["id"], *(new_key(client, tenant="us")["id"] for _ in range(4))]
    first = client.get(URL, params={"limit": 2}).json()
    assert ([each["id"] for each in first["data"]], first["has_more"]) == (ids[:2], True)
    rest = client.get(URL, params={"limit": 3, "after": first["last_id"]}).json()
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == (ids[2:], False)
    of_us = client.get(URL, params={"tenant": "us"}).json()["data"]
    assert [each["id"] for each in of_us] == ids[1:]
    for nobody in ("nobody", "\0", "x" * 10_000):
        assert client.get(URL, params={"tenant": nobody}).json() == {
            "object": "list",
            "data": [],
            "first_id": None,
            "last_id": None,
            "has_more": False,
        }
    assert client.get(URL, params={"limit": 0}).status_code == 400


def test_a_rotated_key_has_a_new_secret_and_the_old_one_opens_nothing(client):
    lock(client)
    made = new_key(client, name="ci")
    rotated = client.post(f"{URL}/{made['id']}/rotate").json()
    assert rotated["id"] == made["id"]
    assert client.post("/v1/chat/completions", json=chat_body(), headers=bearer(made)).status_code == 401
    assert client.post("/v1/chat/completions", json=chat_body(), headers=bearer(rotated)).status_code == 200


def test_with_a_grace_period_both_secrets_open(client):
    lock(client)
    made = new_key(client)
    rotated = client.post(f"{URL}/{made['id']}/rotate", json={"grace_seconds": 3600}).json()
    assert abs(rotated["old_secret_until"] - time.time() - 3600) < 60
    for each in (made, rotated):
        assert client.get("/v1/models", headers=bearer(each)).status_code == 200
    revoke(client, made)
    for each in (made, rotated):
        assert client.get("/v1/models", headers=bearer(each)).status_code == 401


def test_what_is_changed_of_a_key_changes_and_the_rest_stays(client):
    lock(client)
    made = new_key(client, name="ci", limits={"concurrent": 2}, expires_at=int(time.time()) + 60)
    del made["secret"]
    path = f"{URL}/{made['id']}"
    assert client.patch(path, json={}).json() == made
    changed = client.patch(path, json={"weight": 3, "limits": {"budget": 5}, "expires_at": None}).json()
    assert changed == made | {
        "weight": 3.0,
        "limits": made["limits"] | {"concurrent": None, "budget": 5},
        "expires_at": None,
    }
    assert client.patch(path, json={"name": "other"}).json() == changed | {"name": "other"}
    for body in ({"tenant": "them"}, {"scopes": ["admin"]}, {"weight": -1}, {"name": None}):
        assert client.patch(path, json=body).status_code == 400
    assert client.get(path).json() == changed | {"name": "other"}


def test_a_key_that_has_expired_is_said_to_have(client):
    lock(client)
    made = new_key(client, expires_at=int(time.time()) + 3)
    until(lambda: client.get(f"{URL}/{made['id']}").json()["status"] == "expired", "it expires")
    assert client.get("/v1/models", headers=bearer(made)).status_code == 401


def test_a_revoked_key_stays_in_the_list_for_good(client):
    lock(client)
    made = new_key(client)
    for _ in range(2):
        gone = client.delete(f"{URL}/{made['id']}")
        assert (gone.status_code, gone.json()["status"]) == (200, "revoked")
    assert [each["status"] for each in client.get(URL).json()["data"]] == ["active", "revoked"]
    for answer in (client.post(f"{URL}/{made['id']}/rotate"), client.patch(f"{URL}/{made['id']}", json={"name": "x"})):
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "key_id")


def test_a_change_is_seen_by_the_server_that_makes_it_without_looking_for_it(monkeypatch):
    monkeypatch.setattr("fathom.serving.access.EVERY", 3600.0)
    with app_running(ScriptedEngine()) as client:
        until(lambda: client.get("/readyz").status_code == 200, "the app is ready")
        lock(client)
        made = new_key(client)
        assert client.get("/v1/models", headers=bearer(made)).status_code == 200
        gone = client.delete(f"{URL}/{made['id']}")
        assert "x-fathom-unconfirmed-servers" not in gone.headers
        assert client.get("/v1/models", headers=bearer(made)).status_code == 401


def test_a_server_that_may_not_go_by_a_change_is_told_of(database_url, monkeypatch):
    monkeypatch.setattr("fathom.serving.keys.PATIENCE", 0.0)
    with app_running(ScriptedEngine(), load({"store.url": database_url})) as client:
        made = lock(client)
        asyncio.run(meddle(database_url, "INSERT INTO servers (id, seen_at) VALUES ('elsewhere/1/0.00', 1)"))
        answer = client.patch(f"{URL}/{made['id']}", json={"name": "x"})
        assert (answer.status_code, answer.headers["x-fathom-unconfirmed-servers"]) == (200, "1")


@pytest.mark.parametrize("id", ["key_x", "%00", "x" * 5000, "..%2f..", "%ff"])
def test_a_key_that_is_not_there_is_404(client, id):
    lock(client)
    answers = [
        client.get(f"{URL}/{id}"),
        client.delete(f"{URL}/{id}"),
        client.patch(f"{URL}/{id}", json={}),
        client.post(f"{URL}/{id}/rotate"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert {answer.json()["error"]["code"] for answer in answers} == {"not_found"}


def test_a_page_of_another_site_cannot_make_a_key(client):
    """A browser sends it without asking first only as one of these."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = client.post(URL, content=b"{}", headers={"content-type": kind})
        assert answer.status_code in (400, 415), answer.text
    assert client.request("POST", URL, content=b"{}").status_code in (400, 415)
    assert client.get(URL).json()["data"] == []
