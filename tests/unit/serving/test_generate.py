from dataclasses import replace

import pytest
from fathom.core.errors import EngineUnavailable
from fathom.core.events import Accepted, Finished, TextDelta, ToolCallStart
from fathom.core.generation import Chat, GenerationRequest, Message
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.serving.generate import Generate
from fathom.telemetry import metrics, record

from tests.rooms import way

REQUEST = GenerationRequest("r1", Chat((Message("user", "a b c"),)))


async def test_events_pass_and_the_record_gets_the_counts():
    fields = record.begin()
    events = [event async for event in Generate(ScriptedEngine(), *way())(REQUEST)]
    assert isinstance(events[0], Accepted)
    assert isinstance(events[-1], Finished)
    assert (fields["prompt_tokens"], fields["completion_tokens"], fields["reasoning_tokens"]) == (7, 7, 3)
    assert fields["outcome"] == "stop"
    assert fields["ttft_ms"] >= 0


async def test_every_choice_is_counted_and_the_prompt_once():
    fields = record.begin()
    before = metrics.PROMPT_TOKENS.labels(cached="false")._value.get()
    events = [event async for event in Generate(ScriptedEngine(), *way())(replace(REQUEST, n=3))]
    assert [event.choice for event in events if isinstance(event, Finished)] == [0, 1, 2]
    assert (fields["completion_tokens"], fields["reasoning_tokens"]) == (21, 9)
    assert metrics.PROMPT_TOKENS.labels(cached="false")._value.get() - before == 7


async def test_cut_traces_and_calls_are_counted():
    def script(_request):
        yield Accepted(1)
        yield ToolCallStart(0, "call_1", "f")
        yield Finished("tool_calls", 1, 5, reasoning_tokens=3, budget_exhausted=True)

    counters = (metrics.REASONING_BUDGET_EXHAUSTED, metrics.TOOL_CALLS, metrics.REASONING_TRUNCATED)
    before = [counter._value.get() for counter in counters]
    [event async for event in Generate(ScriptedEngine(script), *way())(REQUEST)]
    assert [counter._value.get() - was for counter, was in zip(counters, before, strict=True)] == [1, 1, 0]


async def test_a_client_that_leaves_is_recorded_as_aborted():
    fields, engine = record.begin(), ScriptedEngine()
    events = Generate(engine, *way())(REQUEST)
    await anext(events)
    await events.aclose()
    assert fields["outcome"] == "aborted"
    assert engine.aborted == {"r1"}


async def test_a_failure_is_recorded_by_its_code():
    def script(_request):
        yield from (Accepted(1), TextDelta("x"), EngineUnavailable("gone"))

    fields = record.begin()
    with pytest.raises(EngineUnavailable):
        [event async for event in Generate(ScriptedEngine(script), *way())(REQUEST)]
    assert fields["outcome"] == "engine_unavailable"
