import asyncio

import pytest
from fathom.core.engine import Phase
from fathom.core.errors import EngineUnavailable, StartupError
from fathom.core.generation import Chat, GenerationRequest, Message
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.engine.supervisor import Hooks, Supervisor

REQUEST = GenerationRequest("r1", Chat((Message("user", "a b"),)))


class Told:
    def __init__(self) -> None:
        self.phases: list[Phase] = []
        self.ready: list[object] = []
        self.failed: list[str] = []
        self.hooks = Hooks(lambda phase, _share: self.phases.append(phase), self.ready.append, self.failed.append)


async def settled(supervisor: Supervisor) -> None:
    for _ in range(100):
        await asyncio.sleep(0.01)
        if supervisor.phase in (Phase.READY, Phase.FAILED):
            return


async def test_a_good_start_tells_its_phases_and_streams():
    told = Told()
    supervisor = Supervisor(ScriptedEngine(), told.hooks)
    supervisor.begin()
    await settled(supervisor)
    assert told.phases == [Phase.WARMING, Phase.READY]
    assert len(told.ready) == 1
    assert len([event async for event in supervisor.stream(REQUEST)]) == 6
    await supervisor.stop()
    assert supervisor.phase is Phase.STOPPED


async def test_a_failed_start_is_told_once_with_its_reason():
    class Broken(ScriptedEngine):
        async def start(self, progress):
            raise StartupError("no weights")

    told = Told()
    supervisor = Supervisor(Broken(), told.hooks)
    supervisor.begin()
    await settled(supervisor)
    assert told.failed == ["no weights"]
    assert told.ready == []
    with pytest.raises(EngineUnavailable, match="no weights"):
        await anext(supervisor.stream(REQUEST))
    await supervisor.stop()
    assert supervisor.phase is Phase.FAILED


@pytest.mark.parametrize("error", [EngineUnavailable("it died while warming up"), RuntimeError("a bug")])
async def test_a_start_that_breaks_in_any_other_way_fails_too_and_does_not_hang(error):
    class Broken(ScriptedEngine):
        async def start(self, progress):
            progress(Phase.WARMING, None)
            raise error

    told = Told()
    supervisor = Supervisor(Broken(), told.hooks)
    supervisor.begin()
    await settled(supervisor)
    assert supervisor.phase is Phase.FAILED
    assert str(error) in told.failed[0]
    assert "warming up" in told.failed[0]
    await supervisor.stop()


async def test_a_death_is_noticed():
    told, engine = Told(), ScriptedEngine()
    supervisor = Supervisor(engine, told.hooks)
    supervisor.begin()
    await settled(supervisor)
    engine.death = "signal 9"
    await asyncio.sleep(1.2)
    assert supervisor.phase is Phase.FAILED
    assert told.failed == ["the engine died: signal 9"]
    await supervisor.stop()


async def test_before_it_is_ready_requests_are_refused_with_a_time_to_come_back():
    supervisor = Supervisor(ScriptedEngine(), Hooks.none())
    with pytest.raises(EngineUnavailable) as refused:
        await anext(supervisor.stream(REQUEST))
    assert refused.value.retry_after
    with pytest.raises(EngineUnavailable):
        supervisor.serving()


async def test_closing_a_stream_closes_the_engines():
    engine = ScriptedEngine()
    supervisor = Supervisor(engine, Hooks.none())
    supervisor.begin()
    await settled(supervisor)
    stream = supervisor.stream(REQUEST)
    await anext(stream)
    await stream.aclose()
    assert engine.aborted == {"r1"}
    await supervisor.stop()
