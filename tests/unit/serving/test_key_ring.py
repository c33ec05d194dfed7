import time

import pytest
from fathom.core.key_secret import hash_of
from fathom.core.tenant import Caller, Limits, Scope, Tenant
from fathom.serving.key_ring import KeyRing

from tests.unit.serving.making_keys import secret, stored


@pytest.fixture
def ring():
    return KeyRing()


@pytest.fixture
def clock(monkeypatch):
    """The time, in seconds, as a test sets it."""
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def test_a_secret_says_whose_it_is(ring):
    ring.put([stored("a"), stored("b", tenant="them")])
    expected = Caller(Tenant("us"), "key_a", frozenset({Scope.INFERENCE}), 2.0, Limits(concurrent=3))
    assert ring.find(secret("a")) == expected
    assert ring.find(secret("b")).tenant == Tenant("them")
    assert ring.by_id("key_a") == expected
    assert len(ring) == 2


@pytest.mark.parametrize(
    "wrong",
    [b"", b"fk-", secret("b"), secret("a")[:-1], secret("a") + b"-", secret("a").upper(), b"x" * (1 << 20),
     b"' OR pg_sleep(8)--", hash_of(secret("a")), "fk-ü".encode() * 9],
)  # fmt: skip
def test_anything_else_says_nothing(ring, wrong):
    ring.put([stored("a")])
    assert ring.find(wrong) is None
    assert ring.by_id("key_b") is None


def test_half_of_a_hash_is_not_enough(ring):
    half = hash_of(secret("a"))[:16] + b"\0" * 16
    ring.put([stored("a", hash=half)])
    assert ring.find(secret("a")) is None


def test_a_revoked_key_is_taken_off(ring):
    ring.put([stored("a"), stored("b")])
    ring.put([stored("a", revoked_at=1)])
    assert ring.find(secret("a")) is None
    assert ring.by_id("key_a") is None
    assert ring.find(secret("b"))
    assert len(ring) == 1


def test_a_key_opens_until_it_expires(ring, clock):
    ring.put([stored("a", expires_at=1_000_500)])
    assert ring.find(secret("a"))
    clock[0] = 1000.5
    assert ring.find(secret("a")) is None
    assert ring.by_id("key_a") is None


def test_a_new_secret_takes_the_place_of_the_old_one(ring):
    ring.put([stored("a")])
    ring.put([stored("a", hash=hash_of(secret("new")))])
    assert ring.find(secret("new")).key == "key_a"
    assert ring.find(secret("a")) is None


def test_an_old_secret_opens_for_its_grace_time_and_not_longer_than_the_key(ring, clock):
    grace = {"old_until": 1_010_000}
    ring.put(
        [
            stored("a", hash=hash_of(secret("a2")), old_hash=hash_of(secret("a")), **grace),
            stored("b", hash=hash_of(secret("b2")), old_hash=hash_of(secret("b")), **grace, expires_at=1_005_000),
        ]
    )
    assert ring.find(secret("a")) == ring.find(secret("a2"))
    assert ring.find(secret("b"))
    clock[0] = 1006.0
    assert ring.find(secret("a"))
    assert ring.find(secret("b")) is None
    clock[0] = 1010.0
    assert ring.find(secret("a2"))
    assert ring.find(secret("a")) is None


def test_revoking_closes_the_old_secret_too(ring):
    old = {"hash": hash_of(secret("new")), "old_hash": hash_of(secret("a")), "old_until": 1 << 50}
    ring.put([stored("a", **old)])
    ring.put([stored("a", **old, revoked_at=1)])
    assert ring.find(secret("a")) is None
    assert ring.find(secret("new")) is None


def test_keys_that_have_expired_are_forgotten_when_others_come(ring, clock):
    ring.put([stored("a", expires_at=1_000_500)])
    clock[0] = 2000.0
    ring.put([stored("b")])
    assert len(ring) == 1


def test_it_knows_that_there_was_a_key(ring):
    assert not ring.used
    ring.put([])
    assert not ring.used
    ring.put([stored("a", revoked_at=1)])
    assert ring.used
    assert len(ring) == 0
