"""Responses that are kept, end to end below HTTP: begun, queued, read, cancelled, deleted."""

import asyncio

import pytest
from fathom.core.errors import BadRequest, EngineUnavailable, NotFound, ShuttingDown
from fathom.core.tenant import EVERYONE, Tenant

from tests.unit.serving.responses.waiting import begun, never, soon
from tests.unit.serving.responses.words import draft, told, until_word

OTHER = Tenant("other")


async def text(responses, id):
    return (await responses.get(EVERYONE, id))["output"][0]["text"]


async def status(responses, id):
    return (await responses.get(EVERYONE, id))["status"]


async def finished(responses, speaker, *words, **of):
    """The id of a response that has ended."""
    one = draft(**of)
    run = await begun(responses, one)
    speaker.say(one.id, *words)
    speaker.end(one.id)
    await run.done()
    return one.id


async def test_what_was_made_can_be_read_later(responses, speaker):
    id = await finished(responses, speaker, "one", "two")
    body = await responses.get(EVERYONE, id)
    assert body == {
        "id": id,
        "status": "completed",
        "error": None,
        "output": [{"id": f"item_{id}", "text": "one two"}],
    }


async def test_its_row_is_there_before_its_first_frame(responses, speaker, database):
    one = draft()
    run = await begun(responses, one)
    async with database.reading() as work:
        stored = await work.responses.get(EVERYONE.id, one.id)
    assert (stored.status, stored.background, stored.begun) == ("in_progress", False, True)
    frames = run.frames()
    assert told([await anext(frames)]) == ["created"]
    await frames.aclose()


async def test_while_it_runs_it_is_read_as_it_is(responses, speaker):
    one = draft()
    run = await begun(responses, one)
    speaker.say(one.id, "one")
    await until_word(run.follow(), "one")
    body = await responses.get(EVERYONE, one.id)
    assert (body["status"], body["output"][0]["text"]) == ("in_progress", "one")


async def test_what_the_engine_refuses_is_not_stored(responses, speaker):
    speaker.ready = False
    one = draft()
    with pytest.raises(EngineUnavailable):
        await begun(responses, one)
    with pytest.raises(NotFound):
        await responses.get(EVERYONE, one.id)


async def test_a_server_that_leaves_takes_nothing_into_the_queue(responses, speaker):
    speaker.leaving = True
    one = draft(queued=True)
    with pytest.raises(ShuttingDown, match="takes no new responses"):
        await responses.enqueue(one)
    with pytest.raises(NotFound):
        await responses.get(EVERYONE, one.id)


async def test_a_stream_that_is_left_ends_as_cancelled(responses, speaker):
    one = draft()
    run = await begun(responses, one)
    speaker.say(one.id, "one")
    frames = run.frames()
    await until_word(frames, "one")
    await frames.aclose()
    await run.wait()
    assert await status(responses, one.id) == "cancelled"
    assert await text(responses, one.id) == "one"
    assert speaker.aborted == [one.id]


async def test_a_background_response_is_made_when_nobody_follows(responses, speaker):
    one = draft("hi", queued=True)
    await responses.enqueue(one)
    speaker.say(one.id, "one")
    speaker.end(one.id)
    await soon(lambda: is_(responses, one.id, "completed"), "it completes")
    assert await text(responses, one.id) == "one"
    assert list(speaker.asked.values()) == ["hi"]


async def is_(responses, id, wanted):
    return await status(responses, id) == wanted


async def test_a_queued_one_that_is_cancelled_never_runs(responses, speaker):
    speaker.ready = False
    one = draft(queued=True)
    await responses.enqueue(one)
    assert (await responses.cancel(EVERYONE, one.id))["status"] == "cancelled"
    speaker.ready = True
    await never(soon(lambda: speaker.asked, "it runs"), "it ran")
    frames = [frame async for frame in responses.follow(EVERYONE, one.id, -1)]
    assert told(frames) == ["created", "cancelled"]


async def test_a_running_one_is_cancelled_with_what_it_has_said(responses, speaker):
    one = draft(queued=True)
    await responses.enqueue(one)
    speaker.say(one.id, "one")
    await until_word(responses.follow(EVERYONE, one.id, -1), "one")
    body = await responses.cancel(EVERYONE, one.id)
    assert (body["status"], body["output"][0]["text"]) == ("cancelled", "one")
    assert speaker.aborted == [one.id]


async def test_cancelling_what_has_ended_changes_nothing(responses, speaker):
    one = draft(queued=True)
    await responses.enqueue(one)
    speaker.end(one.id)
    await soon(lambda: is_(responses, one.id, "completed"), "it completes")
    assert (await responses.cancel(EVERYONE, one.id))["status"] == "completed"


async def test_a_foreground_response_cannot_be_cancelled(responses, speaker):
    id = await finished(responses, speaker)
    with pytest.raises(BadRequest, match="Only a background response"):
        await responses.cancel(EVERYONE, id)


async def test_a_deleted_response_is_gone_with_its_items(responses, speaker, database):
    id = await finished(responses, speaker, "one")
    await responses.delete(EVERYONE, id)
    with pytest.raises(NotFound):
        await responses.get(EVERYONE, id)
    assert await responses.items(EVERYONE, [f"item_{id}", f"in_{id}"]) == {}


async def test_one_that_is_deleted_while_it_runs_is_ended(responses, speaker):
    one = draft()
    run = await begun(responses, one)
    speaker.say(one.id, "one")
    frames = run.frames()
    await until_word(frames, "one")
    await responses.delete(EVERYONE, one.id)
    with pytest.raises(NotFound):
        await anext(frames)
    assert speaker.aborted == [one.id]
    with pytest.raises(NotFound):
        await run.done()


async def test_a_follower_of_one_that_is_deleted_is_told_so(responses, speaker):
    one = draft(queued=True)
    await responses.enqueue(one)
    frames = responses.follow(EVERYONE, one.id, -1)
    speaker.say(one.id, "one")
    await until_word(frames, "one")
    await responses.delete(EVERYONE, one.id)
    with pytest.raises(NotFound):
        await anext(frames)


async def test_a_queued_one_that_is_deleted_never_runs(responses, speaker):
    speaker.ready = False
    one = draft(queued=True)
    await responses.enqueue(one)
    await responses.delete(EVERYONE, one.id)
    speaker.ready = True
    await never(soon(lambda: speaker.asked, "it runs"), "it ran")


async def test_another_tenant_sees_nothing(responses, speaker):
    id = await finished(responses, speaker)
    running = draft()
    run = await begun(responses, running)
    for each in (id, running.id, "resp_missing"):
        for act in (responses.get, responses.cancel, responses.delete, responses.input_items, responses.exists):
            with pytest.raises(NotFound) as raised:
                await act(OTHER, each)
            assert raised.value.message == f"There is no response {each!r} here."
        with pytest.raises(NotFound):
            await anext(responses.follow(OTHER, each, -1))
        with pytest.raises(BadRequest):
            await responses.conversation(OTHER, each)
    assert not run.ended
    assert await responses.items(OTHER, [f"item_{id}", f"in_{id}"]) == {}


async def test_a_conversation_is_all_that_was_said_before(responses, speaker):
    first = await finished(responses, speaker, "one", text="hello")
    second = await finished(responses, speaker, "two", text="and?", previous=first)
    said = [item["text"] for item in await responses.conversation(EVERYONE, second)]
    assert said == ["hello", "one", "and?", "two"]
    went_in = [item["text"] for item in await responses.input_items(EVERYONE, second)]
    assert went_in == ["hello", "one", "and?"]
    assert await responses.conversation(EVERYONE, None) == []


async def test_a_conversation_with_a_hole_is_refused(responses, speaker):
    first = await finished(responses, speaker)
    second = await finished(responses, speaker, previous=first)
    await responses.delete(EVERYONE, first)
    with pytest.raises(BadRequest, match=first):
        await responses.conversation(EVERYONE, second)
    with pytest.raises(BadRequest, match="never stored") as raised:
        await responses.conversation(EVERYONE, first)
    assert raised.value.param == "previous_response_id"


async def test_a_client_that_leaves_while_its_row_is_written_leaves_no_row_that_never_ends(
    responses, speaker, database
):
    """At every moment of the writing."""
    ids, beginnings = [], []
    for moment in range(12):
        one = draft()
        ids.append(one.id)
        beginnings.append(asyncio.ensure_future(begun(responses, one)))
        for _ in range(moment):
            await asyncio.sleep(0.0003)
        if not beginnings[-1].cancel():
            (await beginnings[-1]).stop("cancelled")
    await asyncio.gather(*beginnings, return_exceptions=True)
    await soon(lambda: all_ended(database, ids), "every row that is there ends")
    assert not speaker.running


async def all_ended(database, ids):
    async with database.reading() as work:
        rows = [await work.responses.get(EVERYONE.id, id) for id in ids]
    return all(row is None or row.ended for row in rows)


async def test_a_server_that_stops_ends_what_was_seen_and_leaves_the_rest_to_the_next(serve, speaker):
    seen, unseen, foreground = draft(queued=True), draft(queued=True), draft()
    async with serve("one") as responses:
        await begun(responses, foreground)
        await responses.enqueue(seen)
        await responses.enqueue(unseen)
        speaker.say(seen.id, "one")
        await until_word(responses.follow(EVERYONE, seen.id, -1), "one")
        await soon(lambda: unseen.id in speaker.running, "it runs")
    async with serve("two") as responses:
        for one in (seen, foreground):
            body = await responses.get(EVERYONE, one.id)
            assert (body["status"], body["error"][:18]) == ("failed", "The server stopped")
        speaker.end(unseen.id)
        await soon(lambda: is_(responses, unseen.id, "completed"), "it is run again")
    assert [each for each in speaker.asked if each.startswith(unseen.id)] == [f"{unseen.id}-1", f"{unseen.id}-2"]
