"""Streams of a response that is followed by others than the one who asked for it."""

import asyncio

import pytest
from fathom.core.errors import ShuttingDown, StoreUnavailable
from fathom.core.tenant import EVERYONE

from tests.unit.serving.responses.waiting import begun, soon
from tests.unit.serving.responses.words import draft, told, until_word


async def whole(responses, id, after=-1):
    return [frame async for frame in responses.follow(EVERYONE, id, after)]


async def test_followers_before_while_and_after_get_equal_frames(responses, speaker):
    one = draft(queued=True)
    await responses.enqueue(one)
    before = asyncio.ensure_future(whole(responses, one.id))
    speaker.say(one.id, "one")
    await until_word(responses.follow(EVERYONE, one.id, -1), "one")
    meanwhile = asyncio.ensure_future(whole(responses, one.id))
    speaker.say(one.id, "two")
    speaker.end(one.id)
    frames = [(each.number, each.kind, each.kept) for each in await before]
    assert told(await before) == ["created", "started", "one", "two", "completed"]
    assert [number for number, _, _ in frames] == [0, 1, 2, 3, 4]
    for follower in (await meanwhile, await whole(responses, one.id)):
        assert [(each.number, each.kind, each.kept) for each in follower] == frames


@pytest.mark.parametrize("after", range(-1, 6))
async def test_a_stream_goes_on_behind_any_number(responses, speaker, after):
    one = draft(queued=True)
    await responses.enqueue(one)
    live = asyncio.ensure_future(whole(responses, one.id, after))
    speaker.say(one.id, "one", "two")
    speaker.end(one.id)
    numbers = [each.number for each in await live]
    assert numbers == list(range(after + 1, 5))
    assert [each.number for each in await whole(responses, one.id, after)] == numbers


async def test_a_trace_that_is_not_kept_is_told_to_nobody_later(responses, speaker):
    one = draft()
    run = await begun(responses, one)
    speaker.think(one.id, "hmm")
    speaker.say(one.id, "one")
    frames = run.frames()
    assert "hmm" in told(await until_word(frames, "one"))
    followed = await until_word(responses.follow(EVERYONE, one.id, -1), "one")
    assert [each.kept for each in followed if told([each]) == ["hmm"]] in ([], [None])
    speaker.end(one.id)
    [frame async for frame in frames]
    stored = await whole(responses, one.id)
    assert told(stored) == ["created", "started", "one", "completed"]
    assert [each.number for each in stored] == [0, 1, 3, 4]


async def test_another_server_can_be_asked_while_one_makes_it(serve, speaker):
    async with serve("one") as maker, serve("two", background_slots=1) as other:
        one = draft()
        run = await begun(maker, one)
        frames = other.follow(EVERYONE, one.id, -1)
        speaker.say(one.id, "one")
        assert told(await until_word(frames, "one")) == ["created", "started", "one"]
        assert (await other.get(EVERYONE, one.id))["status"] == "in_progress"
        speaker.say(one.id, "two")
        speaker.end(one.id)
        assert told([frame async for frame in frames]) == ["two", "completed"]
        assert await other.get(EVERYONE, one.id) == await run.done()


async def test_another_server_tells_that_a_background_response_runs(serve, speaker):
    async with serve("one") as maker, serve("two", background_slots=1) as other:
        one = draft(queued=True)
        await maker.enqueue(one)
        await soon(lambda: speaker.running, "it runs")
        for responses in (maker, other):
            assert (await responses.get(EVERYONE, one.id))["status"] == "in_progress"


async def test_another_server_can_cancel_it(serve, speaker):
    async with serve("one") as maker:
        one = draft(queued=True)
        await maker.enqueue(one)
        speaker.say(one.id, "one")
        frames = maker.follow(EVERYONE, one.id, -1)
        await until_word(frames, "one")
        async with serve("two") as other:
            assert (await other.cancel(EVERYONE, one.id))["status"] == "cancelled"
            speaker.say(one.id, "two")
            await soon(lambda: not speaker.running, "its maker stops")
        rest = [frame async for frame in frames]
        assert [each.kind for each in rest if each.kind != "word"] == ["cancelled"]
        assert rest[-1].number > 1_000_000
        assert (await maker.get(EVERYONE, one.id))["status"] == "cancelled"


async def test_a_follower_stays_with_a_response_that_is_run_again(serve, speaker):
    async with serve("one") as maker, serve("two", background_slots=1) as other:
        one = draft(queued=True)
        await maker.enqueue(one)
        frames = other.follow(EVERYONE, one.id, -1)
        assert told(await until_word(frames, "created")) == ["created"]
        await soon(lambda: speaker.running, "it runs")
        speaker.fail(one.id, StoreUnavailable("away"))
        await soon(lambda: len(speaker.asked) == 2, "it is run again")
        speaker.say(one.id, "one")
        speaker.end(one.id)
        rest = [frame async for frame in frames]
        assert told(rest)[-2:] == ["one", "completed"]
        numbers = [each.number for each in rest]
        assert numbers == sorted(set(numbers))


async def test_nothing_is_asked_of_the_store_behind_the_end(responses, speaker, database, monkeypatch):
    one = draft(queued=True)
    await responses.enqueue(one)
    frames = responses.follow(EVERYONE, one.id, -1)
    speaker.say(one.id, "one")
    await until_word(frames, "one")

    def refuse():
        raise StoreUnavailable("away")

    monkeypatch.setattr(database, "reading", refuse)
    speaker.end(one.id)
    assert told([frame async for frame in frames]) == ["completed"]
    monkeypatch.undo()


async def test_a_server_that_leaves_tells_the_followers_of_what_is_queued_how_to_go_on(responses, speaker):
    speaker.ready = False
    one = draft(queued=True)
    await responses.enqueue(one)
    frames = responses.follow(EVERYONE, one.id, -1)
    assert told([await anext(frames)]) == ["created"]
    speaker.leaving = True
    with pytest.raises(ShuttingDown, match=rf"goes on without it.*/{one.id}\?stream=true&starting_after=0\."):
        await anext(frames)


async def test_a_server_that_leaves_shows_what_it_makes_to_the_end(responses, speaker):
    one = draft(queued=True)
    await responses.enqueue(one)
    following = asyncio.ensure_future(whole(responses, one.id))
    speaker.say(one.id, "one")
    await until_word(responses.follow(EVERYONE, one.id, -1), "one")
    speaker.leaving = True
    late = asyncio.ensure_future(whole(responses, one.id))
    await asyncio.sleep(0.1)
    speaker.say(one.id, "two")
    speaker.end(one.id)
    for frames in (await following, await late):
        assert told(frames) == ["created", "started", "one", "two", "completed"]


async def test_a_server_that_leaves_lets_followers_go_of_what_it_gives_back(responses, speaker):
    one = draft(queued=True)
    await responses.enqueue(one)
    await soon(lambda: speaker.running, "it runs")
    following = asyncio.ensure_future(whole(responses, one.id))
    await asyncio.sleep(0.1)
    speaker.ready, speaker.leaving = False, True
    speaker.fail(one.id, ShuttingDown("This server is shutting down."))
    with pytest.raises(ShuttingDown, match="goes on without it"):
        await following
    assert (await responses.get(EVERYONE, one.id))["status"] == "queued"
