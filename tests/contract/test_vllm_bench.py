"""The client of `vllm bench serve`, with which servers are compared: it reads a stream in a way of its own."""

import aiohttp
import pytest

from tests.contract.cases import MODEL
from tests.running import Server

TOKENS = 12


@pytest.mark.parametrize(("backend", "path"), [("openai", "/v1/completions"), ("openai-chat", "/v1/chat/completions")])
async def test_it_sees_every_token_when_it_comes(server: Server, backend: str, path: str) -> None:
    from vllm.benchmarks.lib.endpoint_request_func import ASYNC_REQUEST_FUNCS, RequestFuncInput

    asked = RequestFuncInput(
        prompt="The river runs",
        api_url=server.url + path,
        prompt_len=3,
        output_len=TOKENS,
        model=MODEL,
        ignore_eos=True,
        extra_body={"temperature": 0},
    )
    async with aiohttp.ClientSession() as session:
        seen = await ASYNC_REQUEST_FUNCS[backend](asked, session)
    assert seen.success, seen.error
    assert seen.output_tokens == TOKENS
    assert 0 < seen.ttft < seen.latency / 2
    assert len(seen.itl) >= TOKENS // 2  # blanks and halves of characters come with the next token
