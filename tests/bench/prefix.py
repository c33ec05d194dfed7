"""What the prefix cache saves: shared system prompts and chats of several turns, with it and without.

python -m tests.bench.prefix

Two servers in turn on the same model, `engine.prefix_caching` on and off. A: clients with questions of their own behind
one system prompt of some 1,000 tokens. B: chats of six turns, each of which sends all turns before it. Times to the
first token are the median's; hits are what `usage` tells.
"""

import argparse
import asyncio
import json
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.bench import servers
from tests.bench.prompts import passage

CLIENTS, CHATS, TURNS, TOKENS = 16, 4, 6, 32
SYSTEM_WORDS, QUESTION_WORDS = 650, 40


@dataclass
class Seen:
    """firsts: seconds to the first token. prompt, cached: tokens, as usage has them."""

    firsts: list[float] = field(default_factory=list)
    prompt: int = 0
    cached: int = 0
    seconds: float = 0.0

    def row(self, name: str) -> str:
        first, share = statistics.median(self.firsts), self.cached / self.prompt
        return f"{name:<24}{first * 1000:>10.0f}{self.seconds:>10.1f}{self.prompt:>12,}{share:>8.0%}"


class Asking:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client, self.seen = client, Seen()

    async def answer(self, messages: list[dict[str, str]]) -> str:
        """The whole of a greedy answer."""
        body: dict[str, Any] = {
            "model": "smollm2-135m",
            "messages": messages,
            "max_tokens": TOKENS,
            "ignore_eos": True,
            "temperature": 0,
            "enable_thinking": False,
        }
        said, began, first = "", time.perf_counter(), None
        request = body | {"stream": True, "stream_options": {"include_usage": True}}
        async with self._client.stream("POST", "/v1/chat/completions", json=request) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                chunk = json.loads(line[6:])
                text = "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])
                first = first or (time.perf_counter() - began if text else None)
                said += text
                self._count(chunk.get("usage"))
        assert first is not None
        self.seen.firsts.append(first)
        return said

    def _count(self, usage: dict[str, Any] | None) -> None:
        if usage:
            self.seen.prompt += usage["prompt_tokens"]
            self.seen.cached += usage["prompt_tokens_details"]["cached_tokens"]


async def shared_system_prompt(client: httpx.AsyncClient) -> Seen:
    """One after the other, so that the time to the first token is that of reading a prompt."""
    asking, system = Asking(client), {"role": "system", "content": passage(0, SYSTEM_WORDS)}
    for at in range(CLIENTS):
        question = passage(1000 + at * QUESTION_WORDS, QUESTION_WORDS)
        await asking.answer([system, {"role": "user", "content": question}])
    return asking.seen


async def chats(client: httpx.AsyncClient) -> Seen:
    """Side by side, as users chat."""
    asking = Asking(client)

    async def chat(number: int) -> None:
        messages: list[dict[str, str]] = []
        for turn in range(TURNS):
            question = passage(5000 + (number * TURNS + turn) * 100, 100)
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": await asking.answer(messages)})

    await asyncio.gather(*map(chat, range(CHATS)))
    return asking.seen


async def measure(url: str) -> dict[str, Seen]:
    found = {}
    async with httpx.AsyncClient(base_url=url, timeout=300) as client:
        await Asking(client).answer([{"role": "user", "content": "warm up"}])
        for name, work in {"system prompt": shared_system_prompt, "chats": chats}.items():
            began = time.perf_counter()
            found[name] = await work(client)
            found[name].seconds = time.perf_counter() - began
    return found


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f"{'':<24}{'TTFT ms':>10}{'seconds':>10}{'prompt':>12}{'cached':>8}")
    for caching in (True, False):
        with servers.fathom(CLIENTS, **{"engine.prefix_caching": str(caching).lower()}) as url:
            for name, seen in asyncio.run(measure(url)).items():
                print(seen.row(f"{name}, {'with' if caching else 'without'} cache"), flush=True)


if __name__ == "__main__":
    main()
