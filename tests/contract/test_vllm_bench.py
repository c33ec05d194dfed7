"""The client of `vllm bench serve`, with which servers are compared: it reads a stream in a way of its own."""

import asyncio
from collections.abc import Iterable
from typing import Any

import aiohttp
import pytest
from fathom.core.events import Accepted, Event, Finished, TextDelta
from fathom.core.generation import GenerationRequest
from fathom.engine.scripted_engine import ScriptedEngine

from tests.contract.cases import MODEL
from tests.running import Server, app_running

TOKENS = 12

both = pytest.mark.parametrize(
    ("backend", "path"), [("openai", "/v1/completions"), ("openai-chat", "/v1/chat/completions")]
)


async def ask(url: str, backend: str, path: str, model: str = MODEL) -> Any:
    from vllm.benchmarks.lib.endpoint_request_func import ASYNC_REQUEST_FUNCS, RequestFuncInput

    asked = RequestFuncInput(
        prompt="The river runs",
        api_url=url + path,
        prompt_len=3,
        output_len=TOKENS,
        model=model,
        ignore_eos=True,
        extra_body={"temperature": 0},
    )
    async with aiohttp.ClientSession() as session:
        return await ASYNC_REQUEST_FUNCS[backend](asked, session)


def words(_request: GenerationRequest) -> Iterable[Event]:
    return Accepted(3), *[TextDelta("word ")] * TOKENS, Finished("length", 3, TOKENS)


@both
async def test_requests_that_have_to_wait_are_read_like_others(backend: str, path: str) -> None:
    engine = ScriptedEngine(words, delay=0.02)
    engine.max_num_seqs = 1
    with app_running(engine) as client:
        url = str(client.base_url).rstrip("/")
        seen = await asyncio.gather(*(ask(url, backend, path, "scripted") for _ in range(6)))
    assert [each.error for each in seen] == [""] * 6
    assert [each.generated_text for each in seen] == ["word " * TOKENS] * 6


@both
async def test_it_sees_every_token_when_it_comes(server: Server, backend: str, path: str) -> None:
    seen = await ask(server.url, backend, path)
    assert seen.success, seen.error
    assert seen.output_tokens == TOKENS
    assert 0 < seen.ttft < seen.latency / 2
    assert len(seen.itl) >= TOKENS // 2  # blanks and halves of characters come with the next token
