import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from fathom.core.engine import Phase
from fathom.core.errors import ServiceError, ShuttingDown
from fathom.core.generation import Chat, GenerationRequest, Message
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.engine.supervisor import Hooks, Supervisor
from fathom.serving.drain import Drain
from structlog.testing import capture_logs

REQUEST = GenerationRequest("r1", Chat((Message("user", "a b"),)))


class Works:
    """Some work of one kind, as the test says."""

    def __init__(self, live: int = 0) -> None:
        self.live = live
        self.ended: list[ServiceError] = []

    def end(self, error: ServiceError) -> None:
        self.ended.append(error)
        self.live = 0


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(ScriptedEngine(), Hooks.none())
    supervisor.begin()
    await asyncio.sleep(0.01)
    assert supervisor.ready
    yield supervisor
    await supervisor.stop()


async def test_with_nothing_under_way_it_is_over_at_once(supervisor):
    began = time.monotonic()
    await Drain(supervisor, [Works()], 30)("SIGTERM")
    assert time.monotonic() - began < 0.5


async def test_from_its_first_moment_nothing_new_is_taken(supervisor):
    work = Works(1)
    drain = Drain(supervisor, [work], 30)
    assert not drain.leaving
    draining = asyncio.create_task(drain("SIGTERM"))
    await asyncio.sleep(0)
    assert drain.leaving
    assert supervisor.phase is Phase.DRAINING
    with pytest.raises(ShuttingDown) as refused:
        await supervisor.prepare(REQUEST)
    assert refused.value.retry_after
    work.live = 0
    await draining


async def test_it_waits_for_all_kinds_of_work_and_cuts_none(supervisor):
    streams, embeddings = Works(2), Works(1)
    draining = asyncio.create_task(Drain(supervisor, [streams, embeddings], 30)("SIGTERM"))
    for work in (streams, embeddings):
        await asyncio.sleep(0.1)
        assert not draining.done()
        work.live = 0
    await asyncio.wait_for(draining, 10)


@pytest.mark.parametrize("grace", [0.0, 0.2])
async def test_what_is_left_after_the_grace_time_is_told_so(supervisor, grace):
    slow, done = Works(2), Works()
    began = time.monotonic()
    with capture_logs() as logs:
        await Drain(supervisor, [slow, done], grace)("SIGTERM")
    assert time.monotonic() - began >= grace
    (error,) = slow.ended
    assert isinstance(error, ShuttingDown)
    assert f"{grace:g} s (http.shutdown_grace)" in error.message
    assert logs[-1]["cut"] == 2


async def test_the_log_tells_how_it_begins_and_ends(supervisor):
    work = Works(3)
    with capture_logs() as logs:
        draining = asyncio.create_task(Drain(supervisor, [work], 0.2)("SIGINT"))
        await asyncio.sleep(0.05)
        work.live = 1
        await draining
    first, last = (each for each in logs if each["event"] in ("draining", "drained"))
    assert (first["reason"], first["live"], first["grace"]) == ("SIGINT", 3, 0.2)
    assert "second signal" in first["hint"]
    assert (last["finished"], last["cut"]) == (2, 1)


async def test_before_the_first_start_is_over_it_is_over_at_once():
    class NeverStarts(ScriptedEngine):
        async def start(self, progress):
            await asyncio.sleep(60)
            raise AssertionError

    supervisor = Supervisor(NeverStarts(), Hooks.none())
    supervisor.begin()
    drain = Drain(supervisor, [Works()], 30)
    await asyncio.wait_for(drain("SIGTERM"), 10)
    assert drain.leaving
    await supervisor.stop()


async def test_a_server_whose_engine_has_failed_leaves_too(supervisor):
    drain = Drain(supervisor, [Works()], 30)
    supervisor.fail("too many crashes")
    assert drain.leaving
