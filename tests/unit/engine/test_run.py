"""Outputs on their two ways to the client: past the one who waits for them, or through his hands."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.output_processor import RequestOutputCollector

from tests.unit.engine import clients
from tests.unit.engine.clients import IDS, TOKENIZER, core_of


def output(ids: Sequence[int], *, finished: bool = False) -> RequestOutput:
    completion = CompletionOutput(0, "", list(ids), None, None, finish_reason="length" if finished else None)
    return RequestOutput("r", None, [1], None, [completion], finished)


class Client(clients.Client):
    """What it reads is put into its queue."""

    def __init__(self) -> None:
        self.queue = RequestOutputCollector(RequestOutputKind.DELTA, "r")

        async def add_request(*_: object, **__: object) -> RequestOutputCollector:
            return self.queue

        super().__init__(core_of(add_request))


Step = int | str


@given(st.lists(st.integers(1, 4) | st.sampled_from(["turn", "open", "shut", "close for good"]), max_size=40))
async def test_whichever_way_tokens_take_they_come_whole_and_in_order(steps: list[Step]) -> None:
    client, sent = Client(), 0
    reading = asyncio.create_task(client.reads())
    await asyncio.sleep(0)
    for step in steps:
        match step:
            case int():
                client.queue.put(output(IDS[sent : sent + step]))
                sent += step
            case "turn":
                await asyncio.sleep(0)
            case "close for good":
                client.shortcut.close()
            case _:
                client.open = step == "open"
    client.queue.put(output(IDS[sent : sent + 1], finished=True))
    await reading
    assert client.text == TOKENIZER.decode(IDS[: sent + 1])
    assert client.said[-1][0] == "long"


async def test_who_waits_is_not_woken_for_what_takes_the_short_way() -> None:
    client = Client()
    reading = asyncio.create_task(client.reads())
    await asyncio.sleep(0)
    for token_id in IDS[:5]:
        client.queue.put(output([token_id]))
        await asyncio.sleep(0)
    assert [way for way, _ in client.said] == ["short"] * 5
    client.open = False
    client.queue.put(output(IDS[5:6]))
    await asyncio.sleep(0)
    client.open = True
    client.queue.put(output(IDS[6:7]))  # behind one that waits
    assert len(client.said) == 5
    client.queue.put(output(IDS[7:8], finished=True))
    await reading
    assert client.said[5:] == [("long", TOKENIZER.decode(IDS[5:8]))]


def fail(_what: object) -> Any:
    raise ZeroDivisionError


@pytest.mark.parametrize("where", ["see", "write"])
async def test_what_fails_on_the_short_way_fails_the_one_who_waits(where: str) -> None:
    client = Client()
    if where == "see":
        client.shortcut.begin(fail)
    else:
        client.write = fail  # type: ignore[method-assign]
    reading = asyncio.create_task(client.reads())
    await asyncio.sleep(0)
    client.queue.put(output(IDS[:1]))
    with pytest.raises(ZeroDivisionError):
        await reading
