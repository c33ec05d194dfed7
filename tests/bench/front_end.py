"""CPU time of the front end per streamed token: token ids through a reader and into chunks, without engine and network.

python -m tests.bench.front_end
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator

from fathom.api.openai.chat.schemas import ChatRequest
from fathom.api.openai.chat.stream import ChatStream
from fathom.core.events import Accepted, Event
from fathom.core.generation import Sampling, Tool
from fathom.engine.detokenizer import Detokenizer, TokenBytes
from fathom.engine.reader import TurnReader
from fathom.engine.reasoning import Delimiter, ReasoningMachine
from fathom.engine.tool_parsers import find_parser
from fathom.engine.tools import ToolReader

from tests.tokenizers import small_tokenizer

TOKENS = 20_000
ROUNDS = 5

TOKENIZER = small_tokenizer()
TOKEN_BYTES = TokenBytes(TOKENIZER.backend_tokenizer)
IDS = (TOKENIZER.encode("hello world, the sky is blue. ", add_special_tokens=False) * TOKENS)[:TOKENS]
DELIMITERS = [Delimiter(text, TOKENIZER.convert_tokens_to_ids(text)) for text in ("<think>", "</think>")]
SPELLED = [Delimiter(each.text) for each in DELIMITERS]


def plain() -> TurnReader:
    return _reader()


def thinking() -> TurnReader:
    return _reader(machine=ReasoningMachine(*DELIMITERS, thinking=True))


def thinking_spelled() -> TurnReader:
    return _reader(machine=ReasoningMachine(*SPELLED, thinking=True))


def stop_strings() -> TurnReader:
    return _reader(sampling=Sampling(stop=("\n\nUser:", "###")))


def tools() -> TurnReader:
    return _reader(calls=ToolReader(find_parser("hermes", TOKENIZER), TOKENIZER, [Tool("f")]))


def _reader(**stages: object) -> TurnReader:
    return TurnReader(Detokenizer(TOKEN_BYTES, [5]), TOKEN_BYTES, **stages)  # type: ignore[arg-type]


def events(reader: TurnReader) -> Iterator[Event]:
    yield Accepted(1)
    for token_id in IDS:
        yield from reader.read([token_id])
    yield from reader.finish("stop", 1)


async def stream(reader: TurnReader) -> int:
    async def played() -> AsyncGenerator[Event]:
        for event in events(reader):
            yield event

    body = ChatRequest(model="m", messages=[{"role": "user", "content": "x"}])  # type: ignore[list-item]
    return sum([len(frame) async for frame in ChatStream(body, "id", "both").frames(played())])


def microseconds(make: Callable[[], TurnReader]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        reader, began = make(), time.process_time()
        asyncio.run(stream(reader))
        best = min(best, time.process_time() - began)
    return best / TOKENS * 1e6


def main() -> None:
    print(f"{TOKENS} tokens, the best of {ROUNDS} rounds, microseconds of CPU per token")
    for make in (plain, thinking, thinking_spelled, stop_strings, tools):
        print(f"{make.__name__:>18}  {microseconds(make):6.1f}")


if __name__ == "__main__":
    main()
