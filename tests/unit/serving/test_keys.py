"""What operators may do with keys. That servers follow is in test_access.py."""

import asyncio
import os
import time

import psutil
import pytest
from fathom.core.errors import BadRequest, NotFound
from fathom.core.key_secret import LENGTH, hash_of
from fathom.core.tenant import Limits, Scope
from fathom.serving.keys import Keys, NewKey
from fathom.serving.server_id import server_id

from tests.unit.serving.responses.waiting import never


@pytest.fixture
def keys(database):
    return Keys(database)


async def test_a_key_is_kept_without_its_secret(keys):
    made = await keys.create(NewKey("ci", "us", frozenset({Scope.ADMIN}), 2.0, Limits(budget=5), None))
    assert len(made.secret) == LENGTH
    kept = await keys.get(made.key.id)
    assert kept == made.key
    assert (kept.hash, kept.prefix) == (hash_of(made.secret.encode()), made.secret[:7])
    assert made.secret not in str(kept)
    assert (kept.name, kept.tenant, kept.scopes, kept.weight) == ("ci", "us", {Scope.ADMIN}, 2.0)
    assert kept.limits == Limits(budget=5)


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("name", "x" * 101, "name"),
        ("name", "two\nlines", "name"),
        ("name", "\x1b[31m", "name"),
        ("tenant", "", "tenant"),
        ("tenant", "a b", "tenant"),
        ("tenant", "-a", "tenant"),
        ("tenant", "a" * 65, "tenant"),
        ("tenant", "ü", "tenant"),
        ("tenant", "a\n", "tenant"),
        ("scopes", frozenset(), "scopes"),
        ("weight", 0.0, "weight"),
        ("weight", -1.0, "weight"),
        ("weight", float("nan"), "weight"),
        ("weight", float("inf"), "weight"),
        ("limits", Limits(concurrent=0), "limits.concurrent"),
        ("limits", Limits(budget=-1), "limits.budget"),
        ("limits", Limits(max_tokens=2**63), "limits.max_tokens"),
        ("expires_at", 1, "expires_at"),
        ("expires_at", 2**63, "expires_at"),
    ],
)
async def test_what_a_key_cannot_be_is_refused_by_name(keys, field, value, param):
    with pytest.raises(BadRequest) as refused:
        await keys.create(NewKey(**{field: value}))
    assert refused.value.param == param
    assert await keys.page() == []


async def test_the_first_key_opens_everything_and_there_is_one(keys):
    first = await keys.create_first()
    assert first.key.scopes == set(Scope)
    assert await keys.create_first() is None
    await keys.revoke(first.key.id)
    assert await keys.create_first() is None
    assert len(await keys.page()) == 1


async def test_of_servers_that_start_together_one_makes_the_first_key(keys):
    made = await asyncio.gather(*(keys.create_first() for _ in range(5)))
    assert len([each for each in made if each]) == 1
    assert len(await keys.page()) == 1


async def test_rotating_gives_a_new_secret_to_the_same_key(keys):
    made = await keys.create(NewKey("ci"))
    rotated = await keys.rotate(made.key.id)
    assert rotated.key.id == made.key.id
    assert rotated.secret != made.secret
    assert rotated.key.hash == hash_of(rotated.secret.encode())
    assert rotated.key.prefix == rotated.secret[:7]
    assert (rotated.key.old_hash, rotated.key.old_until) == (None, None)
    assert rotated.key.name == "ci"


async def test_a_grace_period_keeps_the_last_secret_and_no_older_one(keys):
    made = await keys.create(NewKey())
    second = await keys.rotate(made.key.id, grace=60)
    assert second.key.old_hash == made.key.hash
    assert 55_000 < second.key.old_until - time.time() * 1000 < 61_000
    third = await keys.rotate(made.key.id, grace=60)
    assert third.key.old_hash == second.key.hash
    assert (await keys.rotate(made.key.id)).key.old_hash is None


@pytest.mark.parametrize("grace", [-1, float("nan"), float("inf"), 1e30])
async def test_a_grace_period_that_is_none_is_refused(keys, grace):
    made = await keys.create(NewKey())
    with pytest.raises(BadRequest) as refused:
        await keys.rotate(made.key.id, grace)
    assert refused.value.param == "grace_seconds"
    assert await keys.get(made.key.id) == made.key


async def test_a_revoked_key_stays_in_the_list_and_can_be_nothing_but_revoked(keys):
    made = await keys.create(NewKey())
    await keys.rotate(made.key.id, grace=60)
    revoked = (await keys.revoke(made.key.id)).key
    assert revoked.revoked_at
    assert revoked.old_hash is None
    assert [each.id for each in await keys.page()] == [made.key.id]
    assert (await keys.revoke(made.key.id)).key.revoked_at == revoked.revoked_at
    for work in (keys.rotate(made.key.id), keys.change(made.key.id, lambda key: key)):
        with pytest.raises(BadRequest, match="revoked, and that is for good"):
            await work


async def test_a_missing_key_is_said_to_be(keys):
    for work in (keys.get("key_x"), keys.rotate("key_x"), keys.revoke("key_x"), keys.change("key_x", lambda key: key)):
        with pytest.raises(NotFound, match="no key 'key_x'"):
            await work


async def test_changes_that_come_together_are_all_made(keys):
    made = await keys.create(NewKey())
    rotated = await asyncio.gather(*(keys.rotate(made.key.id, grace=60) for _ in range(5)))
    hashes = {each.key.hash: each.key.old_hash for each in rotated}
    assert len(hashes) == 5
    at = (await keys.get(made.key.id)).hash
    for _ in range(5):  # each took the place of the one before it
        at = hashes[at]
    assert at == made.key.hash


async def test_nobody_waits_for_a_server_of_this_machine_that_has_ended(database, keys):
    place, _, start = server_id().rsplit("/", 2)
    async with database.transaction() as work:
        await work.servers.go_by_keys(f"{place}/{os.getpid()}/{float(start) - 1:.2f}", None, 1)
    assert (await asyncio.wait_for(keys.create(NewKey()), 20)).behind == []


async def test_a_server_that_lives_is_waited_for(database, keys):
    place, _, _ = server_id().rsplit("/", 2)
    parent = psutil.Process().parent()
    living = f"{place}/{parent.pid}/{parent.create_time():.2f}"
    async with database.transaction() as work:
        await work.servers.go_by_keys(living, 0, 1)
    await never(asyncio.shield(creating := asyncio.ensure_future(keys.create(NewKey()))), "it did not wait", 0.3)
    async with database.transaction() as work:
        await work.servers.go_by_keys(living, 1, 1)
    assert (await creating).behind == []
