import asyncio

import pytest
from fathom.core.engine import Phase, Trouble
from fathom.core.errors import EngineUnavailable, ShuttingDown, StartupError
from fathom.core.generation import Chat, GenerationRequest, Message
from fathom.engine import crashes
from fathom.engine import supervisor as watching
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.engine.supervisor import Hooks, Supervisor
from fathom.settings import EngineSettings
from prometheus_client import REGISTRY

REQUEST = GenerationRequest("r1", Chat((Message("user", "a b"),)))


class Told:
    def __init__(self) -> None:
        self.phases: list[Phase] = []
        self.ready: list[object] = []
        self.failed: list[str] = []
        self.hooks = Hooks(lambda phase, _share: self.phases.append(phase), self.ready.append, self.failed.append)


@pytest.fixture
def quick(monkeypatch):
    """Looks often, and waits little between two starts."""
    monkeypatch.setattr(watching, "_WATCH_EVERY", 0.01)
    monkeypatch.setattr(crashes, "_LONGEST_WAIT", 0.01)


def counted(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0


async def in_phase(supervisor: Supervisor, phase: Phase) -> None:
    async with asyncio.timeout(5):
        while supervisor.phase is not phase:
            await asyncio.sleep(0.005)


async def restarted(supervisor: Supervisor, engine: ScriptedEngine, times: int) -> None:
    """So many times in all. The phase in between may be over before anybody sees it."""
    async with asyncio.timeout(5):
        while engine.restarts < times or supervisor.phase is not Phase.READY:
            await asyncio.sleep(0.005)


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
    assert len([event async for event in supervisor.stream(await supervisor.prepare(REQUEST))]) == 6
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
        await supervisor.prepare(REQUEST)
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


@pytest.mark.parametrize("how", ["died", "hung"])
async def test_an_engine_that_is_lost_is_started_again_and_its_streams_go_on(how, quick):
    told, engine = Told(), ScriptedEngine()
    supervisor = Supervisor(engine, told.hooks)
    supervisor.begin()
    await settled(supervisor)
    before = counted("fathom_engine_restarts_total", reason=how)
    stream = supervisor.stream(await supervisor.prepare(REQUEST))
    await anext(stream)
    engine.death, engine.restart_delay = Trouble(how, "a reason"), 0.05
    await in_phase(supervisor, Phase.RESTARTING)
    assert not supervisor.ready
    with pytest.raises(EngineUnavailable, match="being started again") as refused:
        await supervisor.prepare(GenerationRequest("r2", REQUEST.prompt))
    assert refused.value.retry_after
    assert (await supervisor.tokenize(REQUEST.prompt, REQUEST.reasoning)).ids
    assert len([event async for event in stream]) == 5
    await in_phase(supervisor, Phase.READY)
    assert engine.restarts == 1
    assert counted("fathom_engine_restarts_total", reason=how) == before + 1
    assert told.failed == []
    assert len(told.ready) == 1
    await supervisor.stop()


async def test_a_restart_that_fails_is_tried_again_and_counts_as_a_crash(quick):
    class Weak(ScriptedEngine):
        async def restart(self):
            if self.restarts < 1:
                self.restarts += 1
                raise StartupError("no memory")
            await super().restart()

    engine = Weak()
    supervisor = Supervisor(engine, Hooks.none())
    supervisor.begin()
    await settled(supervisor)
    engine.death = Trouble("died", "signal 9")
    await restarted(supervisor, engine, 2)
    assert engine.restarts == 2
    assert supervisor._crashes.count == 2
    await supervisor.stop()


@pytest.mark.parametrize("most", [0, 2])
async def test_too_many_crashes_end_it_with_one_line_and_fail_what_waits(most, quick):
    told, engine = Told(), ScriptedEngine()
    supervisor = Supervisor(engine, told.hooks, EngineSettings(restarts=most))
    supervisor.begin()
    await settled(supervisor)
    stream = supervisor.stream(await supervisor.prepare(REQUEST))
    await anext(stream)
    for crashes_before in range(most):
        engine.death = Trouble("died", "signal 9")
        await restarted(supervisor, engine, crashes_before + 1)
    engine.death = Trouble("died", "signal 11")
    await in_phase(supervisor, Phase.FAILED)
    assert engine.restarts == most
    assert len(told.failed) == 1
    assert "signal 11" in told.failed[0]
    assert f"engine.restarts is {most}" in told.failed[0]
    with pytest.raises(EngineUnavailable):
        async for _ in stream:
            pass
    await supervisor.stop()


async def test_draining_refuses_what_is_new_and_lets_live_streams_go_on_also_over_a_crash(quick):
    engine = ScriptedEngine()
    supervisor = Supervisor(engine, Hooks.none())
    supervisor.begin()
    await settled(supervisor)
    stream = supervisor.stream(await supervisor.prepare(REQUEST))
    await anext(stream)
    supervisor.drain()
    assert supervisor.phase is Phase.DRAINING
    with pytest.raises(ShuttingDown) as refused:
        await supervisor.prepare(GenerationRequest("r2", REQUEST.prompt))
    assert refused.value.retry_after
    engine.death = Trouble("died", "signal 9")
    assert len([event async for event in stream]) == 5
    assert engine.restarts == 1
    assert supervisor.phase is Phase.DRAINING
    await supervisor.stop()


async def test_before_it_is_ready_requests_are_refused_with_a_time_to_come_back():
    supervisor = Supervisor(ScriptedEngine(), Hooks.none())
    with pytest.raises(EngineUnavailable) as refused:
        await supervisor.prepare(REQUEST)
    assert refused.value.retry_after
    with pytest.raises(EngineUnavailable):
        supervisor.serving()


async def test_closing_a_stream_closes_the_engines():
    engine = ScriptedEngine()
    supervisor = Supervisor(engine, Hooks.none())
    supervisor.begin()
    await settled(supervisor)
    stream = supervisor.stream(await supervisor.prepare(REQUEST))
    await anext(stream)
    await stream.aclose()
    assert engine.aborted == {"r1"}
    await supervisor.stop()
