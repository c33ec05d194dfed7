import pytest
from fathom.core.errors import EngineUnavailable
from fathom.core.events import Accepted, Finished, TextDelta
from fathom.core.generation import GenerationRequest, Message
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.serving.generate import Generate
from fathom.telemetry import record

REQUEST = GenerationRequest("r1", (Message("user", "a b c"),))


async def test_events_pass_and_the_record_gets_the_counts():
    fields = record.begin()
    events = [event async for event in Generate(ScriptedEngine())(REQUEST)]
    assert isinstance(events[0], Accepted)
    assert isinstance(events[-1], Finished)
    assert (fields["prompt_tokens"], fields["completion_tokens"], fields["reasoning_tokens"]) == (7, 7, 3)
    assert fields["outcome"] == "stop"
    assert fields["ttft_ms"] >= 0


async def test_a_client_that_leaves_is_recorded_as_aborted():
    fields, engine = record.begin(), ScriptedEngine()
    events = Generate(engine)(REQUEST)
    await anext(events)
    await events.aclose()
    assert fields["outcome"] == "aborted"
    assert engine.aborted == {"r1"}


async def test_a_failure_is_recorded_by_its_code():
    def script(_request):
        yield from (Accepted(1), TextDelta("x"), EngineUnavailable("gone"))

    fields = record.begin()
    with pytest.raises(EngineUnavailable):
        [event async for event in Generate(ScriptedEngine(script))(REQUEST)]
    assert fields["outcome"] == "engine_unavailable"
