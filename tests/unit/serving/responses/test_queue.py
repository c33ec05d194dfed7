"""Background responses wait for their turn."""

import asyncio
from dataclasses import replace

import pytest
from fathom.core.errors import BadRequest, EngineUnavailable
from fathom.core.tenant import EVERYONE, Caller
from fathom.serving.responses import queue
from fathom.store.database import Database

from tests.unit.serving.responses.waiting import begun, never, soon
from tests.unit.serving.responses.words import WordsDialect, draft


async def enqueue(responses, many):
    drafts = [draft(str(number), queued=True) for number in range(many)]
    for one in drafts:
        await responses.enqueue(one)
    return [one.id for one in drafts]


async def body_at_the_end(responses, id):
    await soon(lambda: has_ended(responses, id), "it ends")
    return await responses.get(EVERYONE, id)


async def has_ended(responses, id):
    return (await responses.get(EVERYONE, id))["status"] not in ("queued", "in_progress")


async def test_as_many_run_as_there_are_slots_oldest_first(serve, speaker):
    async with serve(background_slots=2) as responses:
        ids = await enqueue(responses, 5)
        await soon(lambda: len(speaker.running) == 2, "two run")
        await never(soon(lambda: len(speaker.running) > 2, "a third runs"), "a third ran")
        assert speaker.running == ids[:2]
        speaker.end(ids[1])
        await soon(lambda: speaker.running == [ids[0], ids[2]], "the next one runs")
        for id in ids:
            speaker.end(id)
        for id in ids:
            assert (await body_at_the_end(responses, id))["status"] == "completed"
        assert list(speaker.asked.values()) == ["0", "1", "2", "3", "4"]


async def test_a_slot_that_is_free_is_taken_at_once(serve, speaker, monkeypatch):
    monkeypatch.setattr(queue, "EVERY", 3600.0)
    async with serve(background_slots=1) as responses:
        ids = await enqueue(responses, 3)
        for id in ids:
            speaker.end(id)
            assert (await body_at_the_end(responses, id))["status"] == "completed"


async def test_a_database_that_says_of_itself_that_nothing_was_written_is_not_asked(serve, speaker, monkeypatch):
    stamp = [1]
    monkeypatch.setattr(Database, "stamp", lambda _: stamp[0])
    async with serve() as responses:
        await asyncio.sleep(0.1)
        monkeypatch.setattr(responses._queue, "tell", lambda: None)
        [id] = await enqueue(responses, 1)
        await never(soon(lambda: speaker.asked, "it runs"), "it was asked")
        stamp[0] = 2
        await soon(lambda: speaker.running == [id], "it runs")


async def test_foreground_responses_take_no_slot(serve, speaker):
    async with serve(background_slots=1) as responses:
        await begun(responses, draft())
        [id] = await enqueue(responses, 1)
        await soon(lambda: id in speaker.running, "it runs")


async def test_nothing_runs_until_the_engine_is_ready(responses, speaker):
    speaker.ready = False
    [id] = await enqueue(responses, 1)
    await never(soon(lambda: speaker.asked, "it runs"), "it ran")
    assert (await responses.get(EVERYONE, id))["status"] == "queued"
    speaker.ready = True
    speaker.end(id)
    assert (await body_at_the_end(responses, id))["status"] == "completed"


async def test_one_that_the_engine_dropped_is_run_again_under_another_id(responses, speaker):
    [id] = await enqueue(responses, 1)
    speaker.fail(id, EngineUnavailable("The engine restarts."))
    speaker.say(id, "one")
    speaker.end(id)
    body = await body_at_the_end(responses, id)
    assert (body["status"], body["output"][0]["text"]) == ("completed", "one")
    assert list(speaker.asked) == [f"{id}-1", f"{id}-2"]


async def test_one_that_never_gets_anywhere_fails_in_the_end(responses, speaker):
    [id] = await enqueue(responses, 1)
    for _ in range(9):
        speaker.fail(id, EngineUnavailable("The engine restarts."))
    body = await body_at_the_end(responses, id)
    assert body["status"] == "failed"
    assert "begun 3 times" in body["error"]
    assert len(speaker.asked) == 3


async def test_one_that_can_no_longer_be_made_fails_with_the_reason(responses, speaker, monkeypatch):
    def refuse(*_args):
        raise BadRequest("The model is another one now.")

    monkeypatch.setattr(WordsDialect, "generation", refuse)
    [id] = await enqueue(responses, 1)
    body = await body_at_the_end(responses, id)
    assert (body["status"], body["error"]) == ("failed", "The model is another one now.")


async def test_it_goes_on_from_its_conversation(responses, speaker):
    first = draft("hello")
    run = await begun(responses, first)
    speaker.say(first.id, "one")
    speaker.end(first.id)
    await run.done()
    second = draft("and?", queued=True, previous=first.id)
    await responses.enqueue(second)
    await soon(lambda: second.id in speaker.running, "it runs")
    assert speaker.asked[f"{second.id}-1"] == "hello one and?"


async def test_one_whose_conversation_was_deleted_while_it_waited_fails(responses, speaker):
    first = draft()
    run = await begun(responses, first)
    speaker.end(first.id)
    await run.done()
    speaker.ready = False
    second = draft(queued=True, previous=first.id)
    await responses.enqueue(second)
    await responses.delete(EVERYONE, first.id)
    speaker.ready = True
    body = await body_at_the_end(responses, second.id)
    assert body["status"] == "failed"
    assert first.id in body["error"]


async def test_two_servers_share_a_queue_and_each_response_runs_once(serve, speaker):
    async with serve("one", background_slots=3) as one, serve("two", background_slots=3) as two:
        ids = [id for ids in await asyncio.gather(enqueue(one, 6), enqueue(two, 6)) for id in ids]
        for id in ids:
            speaker.end(id)
        for id in ids:
            assert (await body_at_the_end(one, id))["status"] == "completed"
        assert sorted(speaker.asked) == sorted(f"{id}-1" for id in ids)


@pytest.mark.parametrize("slots", [1, 3])
async def test_a_cancelled_response_frees_its_slot(serve, speaker, slots):
    async with serve(background_slots=slots) as responses:
        ids = await enqueue(responses, slots + 1)
        await soon(lambda: len(speaker.running) == slots, "all slots are taken")
        await responses.cancel(EVERYONE, ids[0])
        await soon(lambda: ids[-1] in speaker.running, "the last one runs")


async def queue_for(responses, key: str, text: str = "hello") -> str:
    one = draft(text, queued=True)
    one = replace(one, generation=replace(one.generation, caller=Caller(EVERYONE, key)))
    await responses.enqueue(one)
    return one.id


async def test_what_is_queued_is_made_in_the_name_of_its_key(serve, speaker):
    async with serve() as responses:
        id = await queue_for(responses, "key_1")
        await soon(lambda: id in speaker.running, "it runs")
        assert speaker.callers[f"{id}-1"] == Caller(EVERYONE, "key_1")
        speaker.end(id)
        assert (await body_at_the_end(responses, id))["status"] == "completed"


async def test_what_is_queued_fails_where_its_key_opens_nothing_any_more(serve, speaker):
    speaker.closed.add("key_1")
    async with serve() as responses:
        ids = [await queue_for(responses, key) for key in ("key_1", "key_2")]
        body = await body_at_the_end(responses, ids[0])
        assert (body["status"], body["error"]) == ("failed", "key_1 is closed.")
        await soon(lambda: ids[1] in speaker.running, "the other one runs")
        assert ids[0] not in str(speaker.asked)
        speaker.end(ids[1])


async def test_a_server_that_takes_over_knows_whose_it_is(serve, speaker):
    speaker.ready = False
    async with serve("one") as responses:
        id = await queue_for(responses, "key_1")
    speaker.ready = True
    async with serve("two"):
        await soon(lambda: id in speaker.running, "it runs")
        assert next(iter(speaker.callers.values())).key == "key_1"
        speaker.end(id)
        await soon(lambda: not speaker.running, "it ends")
