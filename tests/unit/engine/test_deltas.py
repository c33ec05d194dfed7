"""vLLM's own output processor, with and without what takes tokens out of its hands."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from fathom.engine.deltas import take_deltas
from hypothesis import given
from hypothesis import strategies as st
from vllm import SamplingParams
from vllm.outputs import RequestOutput
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine import EngineCoreOutput, EngineCoreRequest, FinishReason
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.engine.output_processor import OutputProcessor, RequestOutputCollector
from vllm.v1.metrics.stats import IterationStats
from vllm.v1.outputs import LogprobsLists

from tests.unit.engine.clients import IDS, TOKENIZER, Client, core_of

VERSION = "default"  # vLLM's name for weights that were never replaced
PARAMS = SamplingParams(detokenize=False, output_kind=RequestOutputKind.DELTA)


class Engine:
    """What of AsyncLLM is in the API process. Each request produces IDS, and is called by a letter."""

    def __init__(self, *, takes_deltas: bool) -> None:
        self.output_processor = OutputProcessor(None, log_stats=True)
        self.core = core_of(self._add_request)
        self.sent: dict[str, int] = {}
        self.made = 0
        self.params = PARAMS
        self.intervals: list[float] = []
        put = RequestOutputCollector.put

        class Counted(RequestOutputCollector):
            def put(collector, output: Any) -> None:  # self is the engine
                self.made += isinstance(output, RequestOutput)
                put(collector, output)

        self._collector = Counted
        if takes_deltas:
            take_deltas(cast("Any", self))

    async def _add_request(self, name: str, prompt: Any, params: SamplingParams, **_: Any) -> RequestOutputCollector:
        queue = self._collector(params.output_kind, name)
        request = EngineCoreRequest(name, [1], None, params, None, 0.0, None, None, None, external_req_id=name)
        self.output_processor.add_request(request, None, queue=queue)
        self.sent[name] = 0
        return queue

    def step(self, counts: dict[str, int], now: float, *, last: bool = False, **more: Any) -> None:
        """One step of the engine: so many tokens of each, and more than tokens."""
        outputs = []
        for name, count in counts.items():
            ids = IDS[self.sent[name] : self.sent[name] + count]
            self.sent[name] += count
            reason = FinishReason.LENGTH if last else None
            outputs.append(EngineCoreOutput(name, list(ids), finish_reason=reason, **more))
        stats = IterationStats()
        self.output_processor.process_outputs(outputs, now, stats, weight_version=VERSION)
        self.intervals += stats.inter_token_latencies_iter


async def started(engine: Engine, *names: str) -> tuple[dict[str, Client], list[asyncio.Task[None]]]:
    clients = {name: Client(engine.core, name, engine.params) for name in names}
    tasks = [asyncio.create_task(client.reads()) for client in clients.values()]
    await asyncio.sleep(0)
    return clients, tasks


async def begun() -> tuple[Engine, dict[str, Client], list[asyncio.Task[None]]]:
    """One stream behind its first token."""
    engine = Engine(takes_deltas=True)
    clients, tasks = await started(engine, "a")
    engine.step({"a": 1}, 0.0)
    await turns(4)
    return engine, clients, tasks


async def turns(count: int) -> None:
    """Of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)


Step = dict[str, int] | str
STEPS = st.lists(
    st.dictionaries(st.sampled_from("ab"), st.integers(1, 3), min_size=1)
    | st.sampled_from(["turn", "turn", "a shut", "a open", "b shut", "b open"]),
    max_size=40,
)


@given(STEPS)
async def test_clients_and_metrics_see_what_vllm_alone_would_have_shown(steps: list[Step]) -> None:
    seen = []
    for engine in (Engine(takes_deltas=False), Engine(takes_deltas=True)):
        clients, tasks = await started(engine, "a", "b")
        for now, step in enumerate(steps):
            match step:
                case "turn":
                    await asyncio.sleep(0)
                case str():
                    clients[step[0]].open = step.endswith("open")
                case counts:
                    engine.step(counts, float(now))
        states = engine.output_processor.request_states
        for name, state in states.items():
            assert state.detokenizer.num_output_tokens() == engine.sent[name]
            spans = [(VERSION, 0, engine.sent[name])] if engine.sent[name] else []
            assert [(each.version, each.start, each.end) for each in state._weight_version_spans() or ()] == spans
        engine.step({"a": 1, "b": 1}, 100.0, last=True)
        await asyncio.gather(*tasks)
        seen.append(({name: client.text for name, client in clients.items()}, sorted(engine.intervals)))
    assert seen[0] == seen[1]
    assert seen[0][0] == {name: TOKENIZER.decode(IDS[:count]) for name, count in engine.sent.items()}


async def test_tokens_of_a_stream_that_waits_are_no_objects_of_vllms() -> None:
    engine = Engine(takes_deltas=True)
    clients, tasks = await started(engine, "a", "b")
    for now in range(10):
        engine.step({"a": 1, "b": 2}, float(now))
        await turns(3)
    assert engine.made == 2  # the first ones
    assert [way for way, _ in clients["a"].said] == ["short"] * 10
    engine.step({"a": 1, "b": 1}, 10.0, last=True)
    await asyncio.gather(*tasks)
    assert engine.made == 4


@pytest.mark.parametrize(
    "more",
    [
        {"kv_transfer_params": {"of": "another"}},
        {"ec_transfer_params": {"of": "another"}},
        {"new_sampling_mask": SimpleNamespace(to_nested_list=lambda: [[1]])},
        {"routed_experts": np.zeros((1, 1, 1))},
    ],
)
async def test_what_is_more_than_tokens_is_an_object_behind_what_was_given(more: dict[str, Any]) -> None:
    engine, clients, tasks = await begun()
    engine.step({"a": 2}, 1.0)
    engine.step({"a": 1}, 2.0, **more)
    await turns(4)
    assert engine.made == 3  # the first, what was given, and this
    engine.step({"a": 1}, 3.0, last=True)
    await asyncio.gather(*tasks)
    assert clients["a"].text == TOKENIZER.decode(IDS[:5])


async def test_tokens_with_logprobs_are_objects() -> None:
    engine = Engine(takes_deltas=True)
    engine.params = SamplingParams(detokenize=False, output_kind=RequestOutputKind.DELTA, logprobs=1)
    _, tasks = await started(engine, "a")
    found = LogprobsLists(np.array([[1, 2]]), np.array([[-0.1, -2.0]]), np.array([0]))
    for now in range(4):
        engine.step({"a": 1}, float(now), last=now == 3, new_logprobs=found)
        await turns(2)
    assert engine.made == 4
    await asyncio.gather(*tasks)


async def test_what_was_given_when_the_way_closes_is_an_output() -> None:
    engine, clients, tasks = await begun()
    engine.step({"a": 2}, 1.0)
    engine.step({"a": 1}, 2.0)
    clients["a"].open = False  # before the event loop's next turn
    await turns(4)
    assert [way for way, _ in clients["a"].said] == ["short", "long"]
    engine.step({"a": 1}, 3.0, last=True)
    await asyncio.gather(*tasks)
    assert clients["a"].text == TOKENIZER.decode(IDS[:5])


async def test_what_was_given_as_the_engine_died_is_made_anew() -> None:
    engine, clients, tasks = await begun()
    engine.step({"a": 2}, 1.0)
    engine.output_processor.propagate_error(EngineDeadError())  # in the same turn of the event loop
    engine.output_processor.request_states.clear()
    await turns(6)
    assert clients["a"].text == TOKENIZER.decode(IDS[:1])
    engine.sent["a"] = 1  # what the new engine is told was produced
    engine.step({"a": 2}, 2.0)
    engine.step({"a": 1}, 3.0, last=True)
    await asyncio.gather(*tasks)
    assert clients["a"].text == TOKENIZER.decode(IDS[:4])


async def test_two_steps_in_one_turn_wake_nobody() -> None:
    engine, clients, tasks = await begun()
    for now in range(1, 6, 2):
        engine.step({"a": 1}, float(now))
        engine.step({"a": 1}, float(now + 1))
        await turns(2)
    assert [way for way, _ in clients["a"].said] == ["short"] * 4
    assert engine.made == 1
    engine.step({"a": 1}, 9.0, last=True)
    await asyncio.gather(*tasks)
