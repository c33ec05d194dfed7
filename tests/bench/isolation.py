"""What a tenant that sends little feels of one that sends much: python -m tests.bench.isolation [URL]

Tenant a sends at 30% of what the server can do, tenant b nothing, as much as the server can do, and four times as much,
in Poisson arrivals. For a: time to the first token and between tokens, and how much worse than alone; for both: tokens
per second, as a share of what the server does for one tenant.

Without a URL, three servers are started one after the other, with the embedded model: Fathom, Fathom that serves first
come, first served, and vLLM's own. About nine minutes.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench import servers
from tests.bench.open_loop import Answer, Client, capacity, percentile, poisson

SEQS = 16
SHARE = 0.3
TIMES = (0.0, 1.0, 4.0)
SECONDS = 60.0
PATIENCE = 8.0
CAPACITY_SECONDS = 16.0


@dataclass(frozen=True, slots=True)
class Felt:
    """By tenant a. usual, ttft: 95th and 99th percentile of its TTFT, in seconds. gap: 99th. speed: tokens per second
    of both tenants. refused: of b."""

    answered: int
    asked: int
    usual: float
    ttft: float
    gap: float
    speed: float
    refused: int


async def felt(url: str, a_rate: float, b_rate: float) -> Felt:
    little, much = Client(url, "a"), Client(url, "b")
    a, b = await asyncio.gather(poisson(little, a_rate, SECONDS, PATIENCE), poisson(much, b_rate, SECONDS, PATIENCE))
    first = [answer.ttft for answer in a if answer.ttft is not None]
    return Felt(
        answered=sum(answer.done for answer in a),
        asked=len(a),
        usual=percentile(first, 0.95),
        ttft=percentile(first, 0.99),
        gap=percentile([gap for answer in a for gap in answer.gaps], 0.99),
        speed=speed([*a, *b]),
        refused=sum(answer.status in (429, 503) for answer in b),
    )


def speed(answers: Sequence[Answer]) -> float:
    """Tokens per second while requests came, the first quarter of the time left out."""
    begin = SECONDS / 4
    return sum(answer.tokens_between(begin, SECONDS) for answer in answers) / (SECONDS - begin)


async def measure(name: str, url: str) -> None:
    warm = Client(url, "warm")
    await capacity(warm, SEQS, 3)
    requests, tokens = await capacity(warm, 2 * SEQS, CAPACITY_SECONDS)
    print(f"\n{name}: {requests:.1f} requests/s, {tokens:.0f} tokens/s with one tenant")
    print("    b    a answered   TTFT p95 (s)  ratio  p99 (s)  ratio  gap p99 (s)  ratio  tokens/s  share  refused b")
    alone: Felt | None = None
    for times in TIMES:
        now = await felt(url, SHARE * requests, times * requests)
        alone = alone or now
        share = f"{now.speed / tokens:>5.2f}" if times else "    -"
        print(
            f"{times:>5g}  {now.answered:>4} of {now.asked:>4}    "
            f"{now.usual:>10.2f}  {now.usual / alone.usual:>5.1f}  {now.ttft:>7.2f}  {now.ttft / alone.ttft:>5.1f}  "
            f"{now.gap:>11.3f}  {now.gap / alone.gap:>5.1f}  {now.speed:>8.0f}  {share}  {now.refused:>12}",
            flush=True,
        )


def main(given: Sequence[str]) -> None:
    if given:
        asyncio.run(measure(given[0], given[0]))
        return
    print(f"{SEQS} sequences in a batch, {SECONDS:g} s each; b sends as many times what the server can do")
    for name, server in (
        ("Fathom", servers.fathom(SEQS)),
        ("Fathom, first come first served", servers.fathom(SEQS, **{"limits.fair": "false"})),
        ("vLLM's own server", servers.vllm(SEQS)),
    ):
        with server as url:
            asyncio.run(measure(name, url))


if __name__ == "__main__":
    main(sys.argv[1:])
