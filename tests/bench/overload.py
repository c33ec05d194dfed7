"""Answers in time under too much load: python -m tests.bench.overload [URL]

Poisson arrivals at 0.5, 1, 2 and 3 times what the server can do. An answer is in time if its first token came within
5 seconds. Clients leave when it does not, and do not ask again.

Without a URL, two servers are started one after the other, with the embedded model: Fathom, told to refuse what would
wait for more than 4 seconds, and vLLM's own. About nine minutes.
"""

import asyncio
import sys
from collections.abc import Sequence

from tests.bench import servers
from tests.bench.open_loop import Client, capacity, percentile, poisson

SEQS = 16
TIMES = (0.5, 1.0, 2.0, 3.0)
SECONDS = 40.0
IN_TIME = 5.0
WAIT = 4.0
CAPACITY_SECONDS = 16.0


async def measure(name: str, url: str) -> None:
    await capacity(Client(url, "warm"), SEQS, 3)
    requests, _ = await capacity(Client(url, "warm"), 2 * SEQS, CAPACITY_SECONDS)
    print(f"\n{name}: {requests:.1f} requests/s")
    print("load  offered/s  in time/s  of the best  late  refused  TTFT p50 (s)  p99 (s)  refused in p99 (ms)")
    rows = []
    for times in TIMES:
        answers = await poisson(Client(url, seed=round(times * 10)), times * requests, SECONDS, IN_TIME)
        good = [answer for answer in answers if answer.done and answer.ttft is not None and answer.ttft <= IN_TIME]
        rows.append((times, answers, good))
    best = max(len(good) for _, _, good in rows)
    for times, answers, good in rows:
        first = [answer.ttft for answer in answers if answer.ttft is not None]
        refused = [answer for answer in answers if answer.status in (429, 503)]
        no = percentile([answer.seconds for answer in refused], 0.99) * 1000
        print(
            f"{times:>4g}  {len(answers) / SECONDS:>9.1f}  {len(good) / SECONDS:>9.1f}  {len(good) / best:>11.2f}  "
            f"{len(answers) - len(good) - len(refused):>4}  {len(refused):>7}  {percentile(first, 0.5):>12.2f}  "
            f"{percentile(first, 0.99):>7.2f}  {no:>19.0f}",
            flush=True,
        )


def main(given: Sequence[str]) -> None:
    if given:
        asyncio.run(measure(given[0], given[0]))
        return
    print(f"{SEQS} sequences in a batch, {SECONDS:g} s each; in time: first token within {IN_TIME:g} s")
    for name, server in (
        ("Fathom", servers.fathom(SEQS, **{"limits.queue_wait": WAIT})),
        ("vLLM's own server", servers.vllm(SEQS)),
    ):
        with server as url:
            asyncio.run(measure(name, url))


if __name__ == "__main__":
    main(sys.argv[1:])
