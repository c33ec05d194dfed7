import asyncio

import pytest
from fathom.core.engine import Embedding
from fathom.core.errors import BadRequest, EngineUnavailable, RateLimitExceeded, Unsupported
from fathom.core.generation import Text, TokenIds
from fathom.core.tenant import Caller, Limits, Tenant
from fathom.core.usage import Amounts
from fathom.serving.embed import AT_ONCE, Embed
from fathom.serving.limits import RateLimits
from fathom.serving.usage import Ledger
from fathom.store.database import Database
from fathom.telemetry import record

from tests.rooms import way


class Engine:
    """Answers after a moment; `waits` never. It remembers who ran, how many at a time, and who was cut short."""

    def __init__(self, fails: dict[str, Exception] | None = None) -> None:
        self.fails = fails or {}
        self.running: set[str] = set()
        self.cancelled: set[str] = set()
        self.most = 0

    def check_embeds(self) -> None:
        pass

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


class Refusing(Engine):
    def check_embeds(self) -> None:
        raise Unsupported("It makes none.")


async def test_a_model_that_makes_none_refuses_before_anybody_waits():
    engine = Refusing()
    with pytest.raises(Unsupported):
        await Embed(engine, *way())("r", texts("a"), None)
    assert engine.most == 0


@pytest.mark.parametrize("failure", [BadRequest("no", param="input"), None])
async def test_inputs_that_were_made_are_counted_however_the_request_ends(failure):
    ledger = Counted()
    engine = Engine({"bad": failure} if failure else {})
    asked = Embed(engine, *way(ledger))("r", texts("aaa", "bb", "bad" if failure else "waits"), None, caller=WHO)
    task = asyncio.create_task(asked)
    while len(ledger.used) < 1 and engine.running != {"r-2"} and not task.done():
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert ledger.used == [(WHO, 5)]


class Counted(Ledger):
    def __init__(self) -> None:
        super().__init__(Database("sqlite+aiosqlite:///nowhere.db"), lambda: "m")
        self.used: list[tuple[Caller, int]] = []

    def add(self, caller: Caller, adapter: str | None, used: Amounts) -> None:
        self.used.append((caller, used.tokens))


WHO = Caller(Tenant("a"), "key_1")


async def test_inputs_are_reserved_before_and_settled_after():
    admission, _, ledger = way()
    rates = RateLimits({"a": Limits(tokens_per_minute=100)}, None)  # type: ignore[arg-type]
    embed = Embed(Engine(), admission, rates, ledger)
    await embed("r", texts("a" * 60), None, caller=WHO)
    with pytest.raises(RateLimitExceeded):
        await embed("r", texts("b" * 180), None, caller=WHO)
    await embed("r", texts("c" * 30), None, caller=WHO)
