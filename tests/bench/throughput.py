"""Output tokens per second of a running server at several numbers of streams: python -m tests.bench.throughput URL

Every request generates the same number of tokens (the end-of-sequence token is ignored, thinking is off) from a prompt
of its own. Three rounds; the median is printed, and the time from the request to the first token.
"""

import asyncio
import statistics
import sys
import time

import httpx

TOKENS = 128
STREAMS = (1, 8, 32)
ROUNDS = 3


async def one(client: httpx.AsyncClient, model: str, text: str) -> float:
    """Seconds to the first token. Raises if the stream was not whole."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": TOKENS,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "enable_thinking": False,
    }
    began, first, usage = time.perf_counter(), 0.0, False
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if not first and '"content":"' in line and '"content":""' not in line:
                first = time.perf_counter() - began
            usage = usage or f'"completion_tokens":{TOKENS}' in line
    assert usage, "the server did not generate as many tokens as asked"
    return first


async def main(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=300, limits=httpx.Limits(max_connections=None)) as client:
        model = (await client.get("/v1/models")).json()["data"][0]["id"]
        await one(client, model, "warm up")
        print("streams  tokens/s  TTFT p50 (s)")
        for streams in STREAMS:
            speeds, firsts = [], []
            for turn in range(ROUNDS):
                began = time.perf_counter()
                asked = (one(client, model, f"Round {turn}: tell story number {at}.") for at in range(streams))
                firsts += await asyncio.gather(*asked)
                speeds.append(streams * TOKENS / (time.perf_counter() - began))
            print(f"{streams:>7}  {statistics.median(speeds):>8.0f}  {statistics.median(firsts):>12.2f}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
