"""What runs make reaches the store, whatever the store does meanwhile."""

import asyncio
import random
from contextlib import asynccontextmanager

import pytest
from fathom.core.errors import NotFound, StoreUnavailable
from fathom.core.tenant import EVERYONE
from fathom.serving.responses import recorder
from fathom.serving.responses.ending import end
from fathom.serving.responses.run import SURPRISE

from tests.unit.serving.responses.waiting import begun, never, soon
from tests.unit.serving.responses.words import Words, WordsDialect, draft, told, until_word


@pytest.fixture
def away(database, monkeypatch):
    """Call it: the store takes nothing, until the test calls what it returns."""

    @asynccontextmanager
    async def refuse():
        raise StoreUnavailable("The database is away.")
        yield

    def begin():
        with_store = database.transaction
        monkeypatch.setattr(database, "transaction", refuse)
        return lambda: monkeypatch.setattr(database, "transaction", with_store)

    return begin


async def stored_events(database, id):
    async with database.reading() as work:
        return [(event.number, event.kind, event.data) for event in await work.responses.events(id, -1)]


async def test_every_word_is_stored_once_and_in_order(responses, speaker, database):
    one, chance = draft(), random.Random(4)
    run = await begun(responses, one)
    for word in range(200):
        speaker.say(one.id, str(word))
        await asyncio.sleep(chance.choice((0, 0, 0.0005, 0.002)))
    speaker.end(one.id)
    await run.done()
    frames = [(each.number, each.kind, each.kept) async for each in run.follow()]
    assert len(frames) == 203
    assert await stored_events(database, one.id) == frames


async def test_the_first_word_of_a_background_response_is_not_kept_waiting(serve, speaker, monkeypatch):
    monkeypatch.setattr(recorder, "EVERY", 3600.0)
    async with serve() as responses:
        one = draft(queued=True)
        await responses.enqueue(one)
        frames = responses.follow(EVERYONE, one.id, -1)
        speaker.say(one.id, "one")
        await asyncio.wait_for(until_word(frames, "one"), 20)
        speaker.end(one.id)
        assert told([frame async for frame in frames]) == ["completed"]


async def test_an_end_waits_for_a_store_that_comes_back(responses, speaker, away):
    one = draft()
    run = await begun(responses, one)
    back = away()
    speaker.say(one.id, "one")
    speaker.end(one.id)
    done = asyncio.ensure_future(run.done())
    await never(asyncio.shield(done), "told before it is stored")
    back()
    assert (await done)["status"] == "completed"
    assert await responses.get(EVERYONE, one.id) == await run.done()


async def test_a_client_is_told_when_the_end_cannot_be_stored_and_it_is_stored_later(
    responses, speaker, away, monkeypatch
):
    monkeypatch.setattr(recorder, "PATIENCE", 0.1)
    one = draft()
    run = await begun(responses, one)
    back = away()
    speaker.say(one.id, "one")
    speaker.end(one.id)
    frames = run.frames()
    assert told(await until_word(frames, "one")) == ["created", "started", "one"]
    with pytest.raises(StoreUnavailable):
        await anext(frames)
    with pytest.raises(StoreUnavailable):
        await responses.get(EVERYONE, one.id)
    back()
    await soon(lambda: is_completed(responses, one.id), "it is stored")
    frames = [frame async for frame in responses.follow(EVERYONE, one.id, -1)]
    assert told(frames) == ["created", "started", "one", "completed"]


async def is_completed(responses, id):
    try:
        return (await responses.get(EVERYONE, id))["status"] == "completed"
    except StoreUnavailable:
        return False


async def test_what_cannot_be_stored_is_not_made(responses, speaker, away):
    one, back = draft(), away()
    with pytest.raises(StoreUnavailable):
        await begun(responses, one)
    assert (speaker.running, speaker.aborted) == ([], [one.id])
    with pytest.raises(StoreUnavailable):
        await responses.enqueue(draft(queued=True))
    back()
    with pytest.raises(NotFound):
        await responses.get(EVERYONE, one.id)


async def test_a_row_that_another_ended_keeps_its_end(responses, speaker, database):
    one = draft()
    run = await begun(responses, one)
    async with database.reading() as work:
        stored = await work.responses.get(EVERYONE.id, one.id)
    assert await end(database, WordsDialect(), stored, Words.cancel, 1 << 50, None)
    speaker.say(one.id, "one")
    with pytest.raises(NotFound):
        await run.done()
    await soon(lambda: speaker.aborted == [one.id], "the engine is left alone")
    assert (await responses.get(EVERYONE, one.id))["status"] == "cancelled"
    assert (await stored_events(database, one.id))[-1][1] == "cancelled"


class Nameless(Words):
    """Its output can't be stored: its items have no ids."""

    def body(self):
        return {**super().body(), "output": [{"text": " ".join(self.words)}]}


async def test_a_fault_of_ours_costs_the_response_that_has_it_and_not_those_beside_it(responses, speaker):
    good, bad = draft(), draft()
    object.__setattr__(bad, "transcript", Nameless(bad.id))
    runs = [await begun(responses, one) for one in (good, bad)]
    for one in (good, bad):
        speaker.say(one.id, "one")
        speaker.end(one.id)
    whole, failure = await asyncio.gather(*(run.done() for run in runs), return_exceptions=True)
    assert whole["status"] == "completed"
    assert failure is SURPRISE
    await soon(lambda: has_failed(responses, bad.id), "its row ends, too")


async def has_failed(responses, id):
    return (await responses.get(EVERYONE, id))["status"] == "failed"
