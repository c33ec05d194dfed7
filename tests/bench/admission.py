"""CPU time of the generation path with and without admission: per request, and per token.

python -m tests.bench.admission

No engine and no network: a script makes the events. Both ways alternate in one run, with one stream, and with more
streams than the engine takes, of several tenants, so that most of them wait.
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator

import uvloop
from fathom.core.engine import Prepared
from fathom.core.events import Accepted, Event, Finished, Queued, TextDelta
from fathom.core.generation import Chat, GenerationRequest, Message, Sampling
from fathom.core.tenant import Caller, Tenant
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.serving.admission import Admission
from fathom.serving.generate import Generate

from tests import rooms

TOKENS = 500
REQUESTS = 2048
LONG_REQUESTS = 256
ROUNDS = 7
SEQS = 64
CROWD = 256


class Open:
    """Lets in whoever comes, and counts nothing."""

    called, waited = True, 0.0

    def check(self, _request: GenerationRequest) -> None:
        pass

    def enter(self, _prepared: Prepared) -> "Open":
        return self

    def __enter__(self) -> "Open":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self) -> None:
        pass

    def produce(self) -> None:
        pass

    def finish(self, _choice: Finished) -> None:
        pass

    def forecast(self) -> Queued:
        raise AssertionError("nobody waits")


def script(request: GenerationRequest) -> Iterator[Event]:
    tokens = request.sampling.max_tokens or 0
    yield Accepted(7)
    for _ in range(tokens):
        yield TextDelta(" word")
    yield Finished("stop", 7, tokens)


class Quick(ScriptedEngine):
    """Without a pause before each event."""

    async def stream(self, prepared: Prepared):  # type: ignore[no-untyped-def]
        for event in self.script(prepared.request):
            yield event


async def stream(generate: Generate, tenant: int, tokens: int) -> int:
    caller = Caller(Tenant(f"tenant-{tenant}"))
    prompt = Chat((Message("user", "x"),))
    request = GenerationRequest("r", prompt, Sampling(max_tokens=tokens), caller=caller)
    count = 0
    async for _ in generate(request):
        count += 1
        if not count % 50:
            await asyncio.sleep(0)
    return count


async def one_after_the_other(admission: Admission, tokens: int, requests: int) -> None:
    generate = Generate(Quick(script), admission, *rooms.way()[1:])
    for at in range(requests):
        await stream(generate, at % 8, tokens)


async def crowd(admission: Admission, tokens: int, requests: int) -> None:
    generate = Generate(Quick(script), admission, *rooms.way()[1:])
    for _ in range(0, requests, CROWD):
        await asyncio.gather(*(stream(generate, at % 8, tokens) for at in range(CROWD)))


async def seconds(way: Callable[..., object], gate: object, tokens: int, requests: int) -> float:
    began = time.process_time()
    await way(gate, tokens, requests)  # type: ignore[misc]
    return time.process_time() - began


async def microseconds(way: Callable[..., object], make: Callable[[], object]) -> tuple[float, float]:
    """Of a request with one token, and of each further token."""
    request = await seconds(way, make(), 1, REQUESTS) / REQUESTS
    long = await seconds(way, make(), TOKENS, LONG_REQUESTS) / LONG_REQUESTS
    return request * 1e6, (long - request) / (TOKENS - 1) * 1e6


def gate() -> Admission:
    return rooms.admission(SEQS)


async def main() -> None:
    print(f"microseconds of CPU, the median of {ROUNDS} rounds; {SEQS} places, 8 tenants")
    print(f"{'':>22}  {'request':>24}  {'token':>24}")
    print(f"{'':>22}  {'without':>7}  {'with':>7}  {'more':>6}  {'without':>7}  {'with':>7}  {'more':>6}")
    for way, name in ((one_after_the_other, "one after the other"), (crowd, f"{CROWD} at a time")):
        rounds = [(await microseconds(way, Open), await microseconds(way, gate)) for _ in range(ROUNDS)]
        cells = []
        for at in (0, 1):
            without, with_it = (statistics.median(each[which][at] for each in rounds) for which in (0, 1))
            cells.append(f"{without:>7.2f}  {with_it:>7.2f}  {with_it - without:>6.2f}")
        print(f"{name:>22}  {'  '.join(cells)}", flush=True)


if __name__ == "__main__":
    uvloop.run(main())
