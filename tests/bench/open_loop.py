"""Load that does not wait for its answers: requests come when they come, whatever becomes of the earlier ones.

Every request is a short prompt of its own and 32 to 64 tokens of output (the end-of-sequence token is ignored). The
client is a socket and a few lines, so that it takes little of the machine that it measures.
"""

import asyncio
import json
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from urllib.parse import urlsplit

import httpx

SHORTEST, LONGEST = 32, 64
WORDS = "the river under a stone bridge carries rain over old hills while birds and people walk home"


@dataclass
class Answer:
    """due: when it was asked for, in seconds since the load began. seconds: until the status came, which is 0 if none
    did. ttft, gaps: seconds, to the first token and from each to the next."""

    due: float
    status: int = 0
    seconds: float = 0.0
    ttft: float | None = None
    gaps: list[float] = field(default_factory=list)
    done: bool = False

    @property
    def tokens(self) -> int:
        return len(self.gaps) + (self.ttft is not None)

    def tokens_between(self, begin: float, end: float) -> int:
        """That came then, in seconds since the load began."""
        if self.ttft is None:
            return 0
        return sum(begin <= at < end for at in accumulate(self.gaps, initial=self.due + self.ttft))


class Client:
    """tenant: what it says in x-api-key."""

    def __init__(self, url: str, tenant: str = "a", seed: int = 0) -> None:
        split = urlsplit(url)
        self._host, self._port = split.hostname or "127.0.0.1", split.port or 80
        self._model = httpx.get(f"{url}/v1/models", timeout=30).json()["data"][0]["id"]
        self._tenant, self._random = tenant, random.Random(f"{tenant}{seed}")

    async def ask(self, answer: Answer) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(self._host, self._port)
            try:
                began = time.perf_counter()
                writer.write(self._request())
                answer.status = int((await reader.readline() or b"- 0").split()[1])
                answer.seconds = time.perf_counter() - began
                await self._read(reader, answer, began)
            finally:
                writer.close()

    async def _read(self, reader: asyncio.StreamReader, answer: Answer, began: float) -> None:
        last = began
        while line := await reader.readline():
            if line.startswith(b"data: [DONE]"):
                answer.done = True
                return
            if line.startswith(b"data: {") and b'"finish_reason":null' in line:
                now = time.perf_counter()
                if answer.ttft is None:
                    answer.ttft = now - began
                else:
                    answer.gaps.append(now - last)
                last = now

    def _request(self) -> bytes:
        prompt = " ".join(self._random.choices(WORDS.split(), k=self._random.randint(16, 48)))
        tokens = self._random.randint(SHORTEST, LONGEST)
        asked = {"model": self._model, "prompt": prompt, "max_tokens": tokens, "ignore_eos": True}
        body = json.dumps({**asked, "temperature": 0, "stream": True}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nhost: {self._host}\r\nx-api-key: {self._tenant}\r\n"
        head += f"connection: close\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def arrivals(self, rate: float, seconds: float) -> Iterator[float]:
        """Poisson: times at which requests come."""
        at = self._random.expovariate(rate)
        while at < seconds:
            yield at
            at += self._random.expovariate(rate)


async def poisson(client: Client, rate: float, seconds: float, patience: float) -> list[Answer]:
    """Those that have not begun `patience` seconds after the last one came are left, and so is what is not done twice
    as long after it."""
    if not rate:
        return []
    began = time.perf_counter()
    answers, tasks = [], []
    for due in client.arrivals(rate, seconds):
        await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
        answers.append(Answer(due))
        tasks.append(asyncio.create_task(client.ask(answers[-1])))
    await asyncio.sleep(max(0.0, began + seconds + patience - time.perf_counter()))
    for answer, task in zip(answers, tasks, strict=True):
        if answer.ttft is None:
            task.cancel()
    await asyncio.wait(tasks, timeout=patience)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return answers


async def capacity(client: Client, streams: int, seconds: float) -> tuple[float, float]:
    """Requests and tokens per second of so many streams, each of which asks again when it is answered; the first
    quarter of the time is not counted."""
    begin = time.perf_counter() + seconds / 4
    end = begin + seconds * 3 / 4
    ended: list[tuple[float, int]] = []

    async def stream() -> None:
        while time.perf_counter() < end:
            answer = Answer(0)
            await client.ask(answer)
            assert answer.done, f"status {answer.status}"
            ended.append((time.perf_counter(), answer.tokens))

    await asyncio.gather(*(stream() for _ in range(streams)))
    counted = [tokens for at, tokens in ended if begin <= at < end]
    return len(counted) / (end - begin), sum(counted) / (end - begin)


def percentile(values: list[float], share: float) -> float:
    """NaN of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
