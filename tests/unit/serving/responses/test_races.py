"""What comes at the worst moment: between two awaits, between a commit and its answer, while the store is away."""

import asyncio
import traceback
from contextlib import asynccontextmanager

import pytest
from fathom.core.errors import BadRequest, EngineUnavailable, NotFound, StoreUnavailable
from fathom.core.events import Accepted, TextDelta
from fathom.core.tenant import EVERYONE
from fathom.serving.responses import recorder
from fathom.serving.responses.run import Run

from tests.unit.serving.responses.speaker import END
from tests.unit.serving.responses.test_recorder import stored_events
from tests.unit.serving.responses.test_upkeep import GHOST, becomes, leave_behind
from tests.unit.serving.responses.waiting import begun, never, soon
from tests.unit.serving.responses.words import Words, WordsDialect, draft, told


@pytest.fixture
def transactions(database, monkeypatch):
    """Call it with others instead: they come, until the test calls what it returns."""
    real = database.transaction

    def replace(others):
        monkeypatch.setattr(database, "transaction", others)
        return lambda: monkeypatch.setattr(database, "transaction", real)

    replace.real = real
    return replace


@asynccontextmanager
async def refused():
    raise StoreUnavailable("The database is away.")
    yield


async def cleans_up_for_long(_request=None):
    for event in (Accepted(1), TextDelta("one"), END):
        yield event
    await asyncio.sleep(3600)


async def test_a_run_that_is_stopped_behind_its_end_has_one_end():
    words = Words("resp_1")
    run = Run("resp_1", "default", words, background=True)
    run.open(words.created() + words.started())
    run.start(cleans_up_for_long(), lambda: None)
    await soon(lambda: words.terminal, "its end is made")
    run.stop("cancelled")
    await soon(lambda: run.ended, "it has ended")
    run.close()
    assert told([frame async for frame in run.follow()]) == ["created", "started", "one", "completed"]
    assert words.status == "completed"


async def test_an_end_that_is_not_stored_is_not_read(responses, monkeypatch):
    monkeypatch.setattr(responses, "_generate", cleans_up_for_long)
    one = draft()
    await begun(responses, one)
    await soon(lambda: one.transcript.terminal, "its end is made")
    await never(responses.get(EVERYONE, one.id), "an end that is in no store was read")


async def test_output_that_would_be_made_again_is_not_read(responses, speaker, transactions):
    one = draft(queued=True)
    await responses.enqueue(one)
    await soon(lambda: speaker.running, "it runs")
    back = transactions(refused)
    speaker.say(one.id, "one")
    await asyncio.sleep(0.1)
    assert (await responses.get(EVERYONE, one.id))["output"] == []
    back()
    await soon(lambda: has_output(responses, one.id), "it is read once it is stored")


async def has_output(responses, id):
    return bool((await responses.get(EVERYONE, id))["output"])


async def test_a_commit_without_an_answer_is_no_loss(responses, speaker, database, transactions):
    @asynccontextmanager
    async def unanswered():
        async with transactions.real() as work:
            yield work
        raise StoreUnavailable("The connection broke behind the commit.")

    one = draft()
    run = await begun(responses, one)
    for say in (lambda: speaker.say(one.id, "one"), lambda: speaker.end(one.id)):
        back = transactions(unanswered)
        say()
        await asyncio.sleep(0.1)
        back()
        speaker.say(one.id, "two")
    assert (await asyncio.wait_for(run.done(), 20))["status"] == "completed"
    assert [number for number, *_ in await stored_events(database, one.id)] == [0, 1, 2, 3, 4]


async def test_a_server_that_stops_while_an_end_is_committed_tells_that_end(serve, speaker, transactions):
    reached = asyncio.Event()

    @asynccontextmanager
    async def slow_to_answer():
        async with transactions.real() as work:
            yield work
        if not reached.is_set():
            reached.set()
            await asyncio.sleep(3600)

    async with serve() as responses:
        one = draft()
        run = await begun(responses, one)
        await asyncio.sleep(0.1)
        transactions(slow_to_answer)
        speaker.end(one.id)
        await reached.wait()
    assert (await run.done())["status"] == "completed"


async def test_a_store_that_hangs_keeps_nobody_waiting(responses, speaker, transactions, monkeypatch):
    monkeypatch.setattr(recorder, "PATIENCE", 0.1)

    @asynccontextmanager
    async def hanging():
        await asyncio.sleep(3600)
        yield

    drafts = [draft() for _ in range(5)]
    runs = [await begun(responses, each) for each in drafts]
    transactions(hanging)
    for each in drafts:
        speaker.end(each.id)
    async with asyncio.timeout(20):
        for run in runs:
            with pytest.raises(StoreUnavailable):
                await run.done()
    transactions(transactions.real)


async def test_an_error_that_many_meet_does_not_keep_their_frames():
    lengths = []
    for _ in range(5):
        run = Run("resp_1", "default", Words("resp_1"), background=False)
        run.lose()
        with pytest.raises(NotFound) as raised:
            await run.done()
        lengths.append(len(list(traceback.walk_tb(raised.value.__traceback__))))
    assert lengths == lengths[:1] * 5


async def test_one_that_has_shown_output_since_is_not_queued_again(database):
    id = await leave_behind(database, begun=True)
    async with database.transaction() as work:
        assert not await work.responses.release(id, GHOST)


async def test_cancelling_one_that_goes_back_to_the_queue_ends_it(responses, speaker, transactions):
    one = draft(queued=True)
    await responses.enqueue(one)
    await soon(lambda: speaker.running, "it runs")
    back = transactions(refused)
    speaker.fail(one.id, EngineUnavailable("The engine is gone."))
    await soon(lambda: not speaker.running, "it is dropped")
    cancelling = asyncio.create_task(responses.cancel(EVERYONE, one.id))
    await asyncio.sleep(0.05)
    back()
    assert (await cancelling)["status"] == "cancelled"


async def test_what_has_not_ended_cannot_be_gone_on_from(responses, speaker):
    one = draft()
    run = await begun(responses, one)
    with pytest.raises(BadRequest, match="has not ended"):
        await responses.conversation(EVERYONE, one.id)
    speaker.end(one.id)
    await run.done()
    assert len(await responses.conversation(EVERYONE, one.id)) == 1


class Picky(WordsDialect):
    def transcript(self, stored):
        if stored.request == {"text": "poison"}:
            raise ValueError("It cannot be read.")
        return super().transcript(stored)


@pytest.mark.filterwarnings("ignore")
async def test_a_row_that_cannot_be_read_holds_up_nothing(database, serve, speaker, monkeypatch):
    monkeypatch.setattr("tests.unit.serving.responses.conftest.WordsDialect", Picky)
    for fields in ({"begun": True}, {"status": "queued", "owner": None}):
        await leave_behind(database, request={"text": "poison"}, **fields)
    orphan = await leave_behind(database, begun=True)
    waiting = await leave_behind(database, status="queued", owner=None)
    speaker.end(waiting)
    async with serve() as responses:
        await becomes(responses, orphan, "failed")
        await becomes(responses, waiting, "completed")
