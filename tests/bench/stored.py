"""CPU time of a streamed response per token, whether it is stored or not: events into frames, and into the database.

python -m tests.bench.stored

No engine and no network: a script makes the events. Both ways alternate in one run.
"""

import asyncio
import resource
import statistics
import tempfile
from collections.abc import Iterator
from typing import Any

import uvloop
from fathom.api.openai.responses.frames import stored
from fathom.api.openai.responses.reasoning_output import TraceOptions
from fathom.api.openai.responses.transcript import ResponseTranscript
from fathom.core.events import Accepted, Event, Finished, TextDelta
from fathom.core.generation import Chat, GenerationRequest, Message
from fathom.core.ids import new_id
from fathom.core.tenant import ANYONE, EVERYONE
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.serving.generate import Generate
from fathom.serving.responses.draft import Draft, Frame
from fathom.serving.responses.service import Responses
from fathom.settings import StoreSettings
from fathom.store.database import Database

from tests.rooms import way

TOKENS = 500
ROUNDS = 5
STREAMS = (1, 16, 64)


def script(_request: GenerationRequest) -> Iterator[Event]:
    yield Accepted(7)
    for _ in range(TOKENS):
        yield TextDelta(" word")
    yield Finished("stop", 7, TOKENS)


def transcript(response_id: str) -> ResponseTranscript:
    return ResponseTranscript({"id": response_id, "object": "response", "status": "in_progress"}, TraceOptions())


def request(response_id: str) -> GenerationRequest:
    return GenerationRequest(response_id, Chat((Message("user", "x"),)))


class Bench:
    def __init__(self, generate: Generate, responses: Responses) -> None:
        self.generate, self.responses = generate, responses

    async def unstored(self) -> int:
        made = transcript("resp_x")
        return sum(
            [len(frame.data) async for event in self.generate(request(new_id("resp"))) for frame in made.take(event)]
        )

    async def stored(self) -> int:
        response_id = new_id("resp")
        item = {"id": new_id("msg"), "type": "message", "role": "user", "content": "x"}
        draft = Draft(response_id, EVERYONE.id, None, {}, [item], request(response_id), transcript(response_id))
        frames = stored(self.responses.begin(draft))
        return sum([len(frame.data) async for frame in frames if isinstance(frame, Frame)])


async def microseconds(what: object, streams: int) -> float:
    before = _cpu()
    await asyncio.gather(*(what() for _ in range(streams)))  # type: ignore[operator]
    return (_cpu() - before) / (streams * TOKENS) * 1e6


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def main(folder: str) -> None:
    database = Database(f"sqlite+aiosqlite:///{folder}/bench.db")
    await database.start()
    generate = Generate(ScriptedEngine(script), *way())
    dialect: Any = None  # nothing is taken up again
    responses = Responses(database, generate, dialect, StoreSettings(), lambda *_: ANYONE, lambda: False, lambda: False)
    await responses.start()
    bench = Bench(generate, responses)
    print(f"{TOKENS} tokens a stream, the median of {ROUNDS} rounds, microseconds of CPU per token, all threads")
    print("streams  not stored  stored")
    for streams in STREAMS:
        rounds = [
            (await microseconds(bench.unstored, streams), await microseconds(bench.stored, streams))
            for _ in range(ROUNDS)
        ]
        plain, kept = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{streams:>7}  {plain:>10.1f}  {kept:>6.1f}", flush=True)
    await responses.stop()
    await database.stop()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(main(folder))
