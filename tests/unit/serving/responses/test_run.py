"""One run by itself: what its followers see, and when. The store is what the test says it is."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fathom.core.engine import Prepared
from fathom.core.errors import EngineUnavailable, NotFound, ServiceError, StoreUnavailable
from fathom.core.generation import GenerationRequest, Text
from fathom.serving.responses.run import SURPRISE, Run

from tests.unit.serving.responses.speaker import Speaker
from tests.unit.serving.responses.waiting import never, soon
from tests.unit.serving.responses.words import Words, told, until_word

ID = "resp_1"


@pytest.fixture
async def foreground(speaker: Speaker) -> AsyncIterator[Run]:
    run = started(speaker, background=False)
    yield run
    run.stop("lost")
    await soon(lambda: not speaker.running, "the engine is left alone")


@pytest.fixture
async def background(speaker: Speaker) -> AsyncIterator[Run]:
    run = started(speaker, background=True)
    yield run
    run.stop("lost")
    await soon(lambda: not speaker.running, "the engine is left alone")


def started(speaker: Speaker, *, background: bool) -> Run:
    words = Words(ID)
    run = Run(ID, "default", words, background=background)
    run.open(words.created() + words.started())
    run.start(speaker.stream(Prepared(GenerationRequest(ID, Text("hi")), 1, 100)), lambda: None)
    return run


def store(run: Run) -> None:
    """What the recorder does once the store took all there is."""
    if run.ended:
        run.close()
    else:
        run.saved(run.mark, begun=run.produces)


async def test_words_of_a_foreground_run_are_seen_at_once(foreground, speaker):
    speaker.say(ID, "one", "two")
    frames = await until_word(foreground.follow(), "two")
    assert told(frames) == ["created", "started", "one", "two"]
    assert [each.number for each in frames] == [0, 1, 2, 3]


async def test_the_first_word_of_a_background_run_is_seen_once_it_is_stored(background, speaker):
    frames = background.follow()
    await until_word(frames, "started")
    speaker.say(ID, "one")
    await soon(lambda: background.produces, "a word is made")
    waiting = asyncio.ensure_future(anext(frames))
    await never(asyncio.shield(waiting), "seen before it is stored")
    store(background)
    assert told([await waiting]) == ["one"]
    speaker.say(ID, "two")
    assert told([await anext(frames)]) == ["two"]


@pytest.mark.parametrize("background", [False, True])
async def test_the_last_frame_is_seen_once_it_is_stored(background, speaker):
    run = started(speaker, background=background)
    speaker.say(ID, "one")
    frames = run.follow()
    await soon(lambda: run.produces, "a word is made")
    store(run)
    await until_word(frames, "one")
    speaker.end(ID)
    await soon(lambda: run.ended, "it ends")
    waiting = asyncio.ensure_future(anext(frames))
    await never(asyncio.shield(waiting), "seen before it is stored")
    assert not run.over
    store(run)
    assert told([await waiting]) == ["completed"]
    assert run.over


async def test_what_was_stored_before_the_end_does_not_show_the_end(foreground, speaker):
    speaker.say(ID, "one")
    await until_word(foreground.follow(), "one")
    mark = foreground.mark
    speaker.end(ID)
    await soon(lambda: foreground.ended, "it ends")
    foreground.saved(mark, begun=True)
    frames = foreground.follow()
    await until_word(frames, "one")
    await never(anext(frames), "seen before it is stored")


async def test_all_followers_get_equal_frames_whenever_they_come(foreground, speaker):
    async def follow(after: int = -1) -> list[str]:
        return told([frame async for frame in foreground.follow(after)])

    followers = [asyncio.ensure_future(follow()) for _ in range(3)]
    speaker.say(ID, "one")
    await until_word(foreground.follow(), "one")
    followers += [asyncio.ensure_future(follow()), asyncio.ensure_future(follow(after=1))]
    speaker.say(ID, "two")
    speaker.end(ID)
    await soon(lambda: foreground.ended, "it ends")
    store(foreground)
    whole = ["created", "started", "one", "two", "completed"]
    assert await asyncio.gather(*followers, follow(), follow(after=3)) == [*[whole] * 4, whole[2:], whole, whole[4:]]


async def test_a_client_that_waits_for_all_gets_the_last_body(foreground, speaker):
    speaker.say(ID, "one", "two")
    speaker.end(ID)
    done = asyncio.ensure_future(foreground.done())
    await never(asyncio.shield(done), "told before it is stored")
    store(foreground)
    body = await done
    assert (body["status"], body["output"][0]["text"]) == ("completed", "one two")


async def test_a_failure_ends_the_stream_and_is_raised_to_who_waits(foreground, speaker):
    speaker.say(ID, "one")
    speaker.fail(ID, EngineUnavailable("The engine died."))
    await soon(lambda: foreground.ended, "it ends")
    store(foreground)
    assert told([frame async for frame in foreground.follow()])[-1] == "failed"
    with pytest.raises(EngineUnavailable, match="The engine died"):
        await foreground.done()
    assert foreground.transcript.body()["error"] == "The engine died."


async def test_a_fault_of_ours_fails_the_run_without_its_words(foreground, speaker):
    speaker.fail(ID, KeyError("secret"))
    await soon(lambda: foreground.ended, "it ends")
    store(foreground)
    with pytest.raises(ServiceError) as raised:
        await foreground.done()
    assert raised.value is SURPRISE
    assert foreground.transcript.body()["error"] == SURPRISE.message


async def test_a_stream_that_is_closed_cancels_the_run(foreground, speaker):
    speaker.say(ID, "one")
    frames = foreground.frames()
    await until_word(frames, "one")
    await frames.aclose()
    await soon(lambda: foreground.ended, "it ends")
    assert speaker.aborted == [ID]
    assert foreground.transcript.body()["status"] == "cancelled"


async def test_a_client_that_stops_waiting_cancels_the_run(foreground, speaker):
    done = asyncio.ensure_future(foreground.done())
    await never(asyncio.shield(done), "told before it ends")
    done.cancel()
    await soon(lambda: foreground.ended, "it ends")
    assert foreground.transcript.body()["status"] == "cancelled"


async def test_a_follower_that_leaves_changes_nothing(background, speaker):
    frames = background.follow()
    await anext(frames)
    await frames.aclose()
    assert not background.ended


async def test_it_has_not_ended_before_its_last_frame_is_made(foreground, speaker):
    """Else the recorder would store a half-made end."""
    await soon(lambda: speaker.running, "it runs")
    foreground.stop("cancelled")
    assert not foreground.ended
    await soon(lambda: foreground.ended, "it ends")
    assert foreground.transcript.terminal


async def test_the_first_reason_to_stop_counts(foreground, speaker):
    await soon(lambda: speaker.running, "it runs")
    foreground.stop("stopped")
    foreground.stop("cancelled")
    await soon(lambda: foreground.ended, "it ends")
    assert foreground.ending == "stopped"
    assert foreground.transcript.body()["status"] == "failed"


async def test_an_end_that_could_not_be_stored_is_an_error_and_no_end(foreground, speaker):
    speaker.say(ID, "one")
    speaker.end(ID)
    await soon(lambda: foreground.ended, "it ends")
    foreground.close(StoreUnavailable("The database is away."))
    frames = foreground.follow()
    assert told([await anext(frames), await anext(frames), await anext(frames)]) == ["created", "started", "one"]
    with pytest.raises(StoreUnavailable):
        await anext(frames)
    with pytest.raises(StoreUnavailable):
        await foreground.done()


async def test_a_background_run_goes_back_to_the_queue_when_the_engine_is_away(background, speaker):
    speaker.fail(ID, EngineUnavailable("The engine restarts."))
    await soon(lambda: background.ended, "it ends")
    assert (background.ending, background.transcript.terminal) == ("released", False)


async def test_a_background_run_that_has_said_something_fails_when_the_engine_goes(background, speaker):
    speaker.say(ID, "one")
    speaker.fail(ID, EngineUnavailable("The engine died."))
    await soon(lambda: background.ended, "it ends")
    assert background.transcript.body()["status"] == "failed"


async def test_a_run_that_lost_its_row_tells_nobody_that_it_is_done(foreground, speaker):
    speaker.say(ID, "one")
    speaker.end(ID)
    await soon(lambda: foreground.ended, "it ends")
    foreground.lose()
    with pytest.raises(NotFound):
        await foreground.done()
    with pytest.raises(NotFound):
        [frame async for frame in foreground.frames()]
    assert told([frame async for frame in foreground.follow()]) == ["created", "started", "one"]


async def test_an_engine_that_stops_talking_without_an_end_fails_the_run(foreground, speaker):
    speaker.say(ID, "one")
    speaker.hang_up(ID)
    await soon(lambda: foreground.ended, "it ends")
    assert foreground.transcript.body()["status"] == "failed"
