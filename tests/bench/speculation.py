"""When guessing ahead helps: python -m tests.bench.speculation [--rounds N]

Two servers in turn, `engine.speculative` off and `ngram`. Kinds of text: to say again what stands in the prompt (an
edit, a quotation), and to say something new; greedily, at 1 and at 16 streams. Output tokens/s, and the share of
guesses that the model agreed with (vLLM's own counters).
"""

import argparse
import asyncio
import re
import time
from typing import Any

import httpx

from tests.bench import servers
from tests.bench.prompts import passage

STREAMS, TOKENS = (1, 16), 96
_COUNTER = re.compile(r"^vllm:spec_decode_num_(draft|accepted)_tokens_total\S* (\S+)$", re.MULTILINE)


def repeats(number: int) -> str:
    """A small model goes on in the circle that it is in, as a large one does with the file that it edits."""
    return (passage(number * 50, 24) + "\n") * 4


def new(number: int) -> str:
    return passage(20_000 + number * 150, 100)


async def one(client: httpx.AsyncClient, prompt: str, temperature: float) -> None:
    body: dict[str, Any] = {"model": "smollm2-135m", "prompt": prompt, "max_tokens": TOKENS, "ignore_eos": True}
    response = await client.post("/v1/completions", json=body | {"temperature": temperature})
    response.raise_for_status()
    assert response.json()["usage"]["completion_tokens"] == TOKENS


async def guessed(client: httpx.AsyncClient) -> dict[str, float]:
    found = _COUNTER.findall((await client.get("/metrics")).text)
    return {name: float(value) for name, value in found}


async def measure(url: str, label: str, rounds: int) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=600) as client:
        await one(client, "warm up", 0)
        for kind, make, temperature in (("repeats", repeats, 0), ("new", new, 0), ("new, sampled", new, 0.8)):
            for streams in STREAMS:
                before, speeds = await guessed(client), []
                for turn in range(rounds):
                    began = time.perf_counter()
                    prompts = (make(turn * 64 + at) for at in range(streams))
                    await asyncio.gather(*(one(client, prompt, temperature) for prompt in prompts))
                    speeds.append(streams * TOKENS / (time.perf_counter() - began))
                after = await guessed(client)
                drafted = after.get("draft", 0) - before.get("draft", 0)
                taken = f"{(after['accepted'] - before['accepted']) / drafted:.0%}" if drafted else "-"
                print(f"{label:<8}{kind:<14}{streams:>8}{sorted(speeds)[rounds // 2]:>10.0f}{taken:>8}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts (%(default)s)")
    rounds = parser.parse_args().rounds
    print(f"{'':<8}{'text':<14}{'streams':>8}{'tokens/s':>10}{'taken':>8}")
    for label, settings in {"off": {}, "ngram": {"engine.speculative": "ngram"}}.items():
        with servers.fathom(max(STREAMS), **settings) as url:
            asyncio.run(measure(url, label, rounds))


if __name__ == "__main__":
    main()
