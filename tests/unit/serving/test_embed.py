import asyncio

import pytest
from fathom.core.engine import Embedding
from fathom.core.errors import BadRequest, EngineUnavailable, Unsupported
from fathom.core.generation import Text, TokenIds
from fathom.core.tenant import Tenant
from fathom.serving.embed import AT_ONCE, Embed
from fathom.telemetry import record

from tests.rooms import way


class Engine:
    """Answers after a moment; `waits` never. It remembers who ran, how many at a time, and who was cut short."""

    def __init__(self, fails: dict[str, Exception] | None = None) -> None:
        self.fails = fails or {}
        self.running: set[str] = set()
        self.cancelled: set[str] = set()
        self.most = 0

    async def embed(
        self, request_id: str, prompt: Text | TokenIds, dimensions: int | None, tenant: Tenant
    ) -> Embedding:
        assert isinstance(prompt, Text)
        assert request_id not in self.running
        self.running.add(request_id)
        self.most = max(self.most, len(self.running))
        try:
            await asyncio.sleep(60 if prompt.text == "waits" else 0)
        except asyncio.CancelledError:
            self.cancelled.add(prompt.text)
            raise
        finally:
            self.running.discard(request_id)
        if prompt.text in self.fails:
            raise self.fails[prompt.text]
        return Embedding((float(len(prompt.text)), float(dimensions or 0)), tokens=len(prompt.text))


def texts(*words: str) -> list[Text | TokenIds]:
    return [Text(word) for word in words]


async def test_vectors_come_in_the_order_of_the_inputs_and_their_tokens_are_noted():
    fields = record.begin()
    found = await Embed(Engine(), *way())("r", texts("ccc", "a", "bb"), 5)
    assert [embedding.vector for embedding in found] == [(3.0, 5.0), (1.0, 5.0), (2.0, 5.0)]
    assert (fields["prompt_tokens"], fields["outcome"]) == (6, "stop")


async def test_only_so_many_inputs_are_in_the_engine_at_once():
    engine = Engine()
    assert len(await Embed(engine, *way())("r", texts(*"x" * 3 * AT_ONCE), None)) == 3 * AT_ONCE
    assert engine.most == AT_ONCE


async def test_the_first_failure_ends_the_rest_and_says_which_input_it_was():
    engine, fields = Engine({"bad": BadRequest("no", param="input")}), record.begin()
    with pytest.raises(BadRequest) as caught:
        await Embed(engine, *way())("r", texts("waits", "bad", "waits"), None)
    assert caught.value.param == "input.1"
    assert engine.cancelled == {"waits"}
    assert fields["outcome"] == "invalid_value"


async def test_the_only_input_is_just_the_input():
    with pytest.raises(BadRequest) as caught:
        await Embed(Engine({"bad": BadRequest("no", param="input")}), *way())("r", texts("bad"), None)
    assert caught.value.param == "input"


async def test_a_failure_of_all_inputs_keeps_its_param():
    with pytest.raises(Unsupported) as caught:
        await Embed(Engine({"a": Unsupported("no", param="model")}), *way())("r", texts("a", "b"), None)
    assert caught.value.param == "model"


async def test_an_engine_that_is_away_is_recorded_by_its_code():
    fields = record.begin()
    with pytest.raises(EngineUnavailable):
        await Embed(Engine({"a": EngineUnavailable("gone")}), *way())("r", texts("a"), None)
    assert fields["outcome"] == "engine_unavailable"


async def test_a_client_that_leaves_ends_every_input():
    engine, fields = Engine(), record.begin()
    work = asyncio.create_task(Embed(engine, *way())("r", texts("waits", "waits"), None))
    await asyncio.sleep(0.01)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert engine.cancelled == {"waits"}
    assert not engine.running
    assert fields["outcome"] == "aborted"
