"""Taking over from servers that are gone, never from living ones; expiry; forgetting."""

import asyncio
import os
import subprocess
import time

import psutil
import pytest
from fathom.core.errors import NotFound
from fathom.core.ids import new_id
from fathom.core.tenant import EVERYONE
from fathom.serving.responses import upkeep
from fathom.serving.responses.upkeep import Upkeep
from fathom.serving.server_id import ended_here, server_id
from fathom.store.responses import StoredResponse

from tests.unit.serving.responses.waiting import begun, never, soon
from tests.unit.serving.responses.words import WordsDialect, draft, told, until_word

GHOST = "elsewhere/7/1.00"


async def leave_behind(database, owner=GHOST, **fields):
    """The id of a response that a server was making."""
    id = new_id("resp")
    row = StoredResponse(
        **{
            "id": id,
            "tenant": EVERYONE.id,
            "status": "in_progress",
            "background": True,
            "created_at": round(time.time() * 1000),
            "expires_at": 1 << 50,
            "previous_id": None,
            "body": {"id": id, "status": fields.get("status", "in_progress"), "error": None},
            "request": {"text": "hello"},
            "owner": owner,
            "attempts": 1,
            "next_number": 5,
            **fields,
        }
    )
    async with database.transaction() as work:
        await work.responses.add(row, [{"id": f"in_{id}", "text": "hello"}])
    return id


async def beat(database, server, seen_at=1):
    async with database.transaction() as work:
        await work.servers.beat(server, seen_at)


async def status(responses, id):
    return (await responses.get(EVERYONE, id))["status"]


async def becomes(responses, id, wanted):
    async def is_it():
        return await status(responses, id) == wanted

    await soon(is_it, f"it is {wanted}")


async def test_what_nobody_saw_is_run_again(database, serve, speaker):
    id = await leave_behind(database)
    speaker.say(id, "one")
    speaker.end(id)
    async with serve() as responses:
        await becomes(responses, id, "completed")
        frames = [frame async for frame in responses.follow(EVERYONE, id, 4)]
        assert told(frames) == ["started", "one", "completed"]
        assert [each.number for each in frames] == [5, 6, 7]


@pytest.mark.parametrize("fields", [{"begun": True}, {"background": False, "begun": True}, {"attempts": 3}])
async def test_what_someone_saw_or_was_tried_too_often_fails_with_the_reason(database, serve, speaker, fields):
    id = await leave_behind(database, **fields)
    async with serve() as responses:
        body = await responses.get(EVERYONE, id)
        assert (body["status"], body["error"][:18]) == ("failed", "The server stopped")
        frames = [frame async for frame in responses.follow(EVERYONE, id, 700_000)]
        assert told(frames) == ["failed"]
    assert not speaker.asked


async def test_ended_and_queued_responses_are_left_alone(database, serve, speaker):
    speaker.ready = False
    async with serve("one") as responses:
        queued, cancelled = draft(queued=True), draft(queued=True)
        for one in (queued, cancelled):
            await responses.enqueue(one)
        before = await responses.cancel(EVERYONE, cancelled.id)
    async with serve("two") as responses:
        assert await status(responses, queued.id) == "queued"
        assert await responses.get(EVERYONE, cancelled.id) == before


async def test_a_server_of_another_machine_is_gone_after_its_lease(database, serve, monkeypatch):
    monkeypatch.setattr(upkeep, "LEASE", 1.0)
    await beat(database, GHOST)
    id = await leave_behind(database, begun=True)
    async with serve() as responses:
        await never(becomes(responses, id, "failed"), "taken too early", 0.3)
        await becomes(responses, id, "failed")


async def test_a_server_that_lives_is_never_taken_over_whatever_its_clock_says(database, serve, monkeypatch):
    monkeypatch.setattr(upkeep, "LEASE", 0.6)
    await beat(database, GHOST)
    id = await leave_behind(database, begun=True)
    async with serve() as responses:
        for seen_at in (2, 1 << 50, 3, 1 << 40, 4, 5, 6, 7, 8, 9):
            await asyncio.sleep(0.1)
            await beat(database, GHOST, seen_at)
        assert await status(responses, id) == "in_progress"


async def test_servers_side_by_side_leave_each_other_alone(serve, speaker, monkeypatch):
    monkeypatch.setattr(upkeep, "LEASE", 0.6)
    async with serve("one") as one, serve("two") as two:
        mine, yours = draft(), draft()
        runs = [await begun(one, mine), await begun(two, yours)]
        await asyncio.sleep(1)
        for each in (mine, yours):
            speaker.end(each.id)
        assert [(await run.done())["status"] for run in runs] == ["completed", "completed"]


async def test_a_server_that_was_given_up_and_still_runs_gives_way(database, serve, speaker):
    async with serve() as responses:
        one = draft(queued=True)
        await responses.enqueue(one)
        speaker.say(one.id, "one")
        frames = responses.follow(EVERYONE, one.id, -1)
        await until_word(frames, "one")
        async with database.transaction() as work:
            [stored] = await work.responses.owned("one/1/0.00")
            body = {**stored.body, "status": "failed", "error": "given up"}
            assert await work.responses.finish(one.id, "failed", body, [], 1 << 50, stored.owner)
        speaker.say(one.id, "two")
        await soon(lambda: speaker.aborted == [one.id], "it stops")
        body = await responses.get(EVERYONE, one.id)
        assert (body["status"], body["error"], body["output"]) == ("failed", "given up", [])
        assert "completed" not in told([frame async for frame in frames])


async def test_rows_of_our_own_that_nobody_makes_are_taken_over(database, serve, speaker):
    async with serve("one") as responses:
        again = await leave_behind(database, owner="one/1/0.00")
        failed = await leave_behind(database, owner="one/1/0.00", background=False, begun=True)
        speaker.end(again)
        await becomes(responses, again, "completed")
        await becomes(responses, failed, "failed")


async def test_a_row_of_ours_may_be_about_to_get_its_run(database):
    """Its transaction is done, and whoever asked for it has not been told yet."""
    one = Upkeep(database, WordsDialect(), owner="one/1/0.00", expiry=lambda: 1 << 50, wait=60, runs=lambda: ())
    id = await leave_behind(database, owner="one/1/0.00")
    await one.round()
    async with database.reading() as work:
        stored = await work.responses.get(EVERYONE.id, id)
    assert stored.status == "in_progress"
    await one.round()
    async with database.reading() as work:
        stored = await work.responses.get(EVERYONE.id, id)
    assert stored.status == "queued"


def test_a_server_of_this_machine_is_known_by_its_process():
    own = server_id()
    place, pid, start = own.rsplit("/", 2)
    assert not ended_here(own)
    assert ended_here(f"{place}/{pid}/{float(start) - 1:.2f}")
    assert not ended_here(f"elsewhere/{pid}/1.00")
    child = subprocess.Popen(["sleep", "60"])
    other = f"{place}/{child.pid}/{psutil.Process(child.pid).create_time():.2f}"
    assert not ended_here(other)
    child.kill()
    child.wait()
    assert ended_here(other)
    assert int(pid) == os.getpid()


async def test_a_server_of_this_machine_that_was_killed_is_gone_at_once(database, serve):
    place, _, start = server_id().rsplit("/", 2)
    ghost = f"{place}/{os.getpid()}/{float(start) - 1:.2f}"
    await beat(database, ghost)
    id = await leave_behind(database, owner=ghost, begun=True)
    async with serve() as responses:
        assert await status(responses, id) == "failed"


async def test_what_waits_for_too_long_expires(serve, speaker):
    speaker.ready = False
    async with serve(background_wait=0.3) as responses:
        one = draft(queued=True)
        await responses.enqueue(one)
        frames = [frame async for frame in responses.follow(EVERYONE, one.id, -1)]
        assert told(frames) == ["created", "failed"]
        body = await responses.get(EVERYONE, one.id)
        assert (body["status"], body["error"][:21]) == ("failed", "This response expired")


async def test_what_runs_does_not_expire(serve, speaker):
    async with serve(background_wait=0.6) as responses:
        one = draft(queued=True)
        await responses.enqueue(one)
        await soon(lambda: speaker.running, "it runs")
        await asyncio.sleep(0.8)
        speaker.end(one.id)
        await becomes(responses, one.id, "completed")


async def test_old_responses_are_forgotten_and_unfinished_ones_never(database, serve, speaker, monkeypatch):
    monkeypatch.setattr(upkeep, "_SWEEP_EVERY", 0.0)
    monkeypatch.setattr(upkeep, "_AT_A_TIME", 2)
    ended = {"owner": None, "request": None, "begun": True, "status": "completed"}
    old = [await leave_behind(database, **ended, expires_at=1) for _ in range(5)]
    young = await leave_behind(database, **ended)
    speaker.ready = False
    queued = await leave_behind(database, owner=None, status="queued", attempts=0, expires_at=1)
    async with serve() as responses:
        for id in old:
            with pytest.raises(NotFound):
                await responses.get(EVERYONE, id)
        assert await status(responses, young) == "completed"
        assert await status(responses, queued) == "queued"


async def test_a_conversation_lives_as_long_as_its_newest_turn(serve, speaker, monkeypatch):
    async def ended(responses, **of):
        one = draft(**of)
        run = await begun(responses, one)
        speaker.end(one.id)
        await run.done()
        return one.id

    async with serve("one", retention_days=1 / 86400) as responses:
        first, alone = await ended(responses, text="hello"), await ended(responses, text="alone")
    async with serve("two") as responses:
        second = await ended(responses, text="and?", previous=first)
    await asyncio.sleep(1)
    async with serve("three") as responses:
        assert [item["text"] for item in await responses.conversation(EVERYONE, second)] == ["hello", "and?"]
        with pytest.raises(NotFound):
            await responses.get(EVERYONE, alone)
