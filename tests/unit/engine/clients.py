"""One who reads a run, as a stream does: a task that waits, and a shortcut."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import cast

from fathom.core.events import Event, TextDelta
from fathom.core.shortcut import Shortcut
from fathom.engine.bell import Rung
from fathom.engine.core import Core
from fathom.engine.detokenizer import Detokenizer, TokenBytes
from fathom.engine.reader import TurnReader
from fathom.engine.run import Run
from vllm import SamplingParams
from vllm.inputs.engine import tokens_input
from vllm.v1.engine.output_processor import RequestOutputCollector

from tests.tokenizers import small_tokenizer

TOKENIZER = small_tokenizer()
IDS = TOKENIZER.encode("hello world, the sky is blue. " * 20, add_special_tokens=False)
_TOKEN_BYTES = TokenBytes(TOKENIZER.backend_tokenizer)


def core_of(add_request: Callable[..., Awaitable[RequestOutputCollector]]) -> Core:
    """An engine that lives, as a run sees it. add_request: AsyncLLM's."""

    async def up() -> object:
        return SimpleNamespace(add_request=add_request)

    return cast("Core", SimpleNamespace(up=up, lives=lambda _llm: True, rung=Rung()))


class Client:
    """open: it takes frames at once. said: text, and by which way it came."""

    def __init__(self, core: Core, name: str = "r", params: SamplingParams | None = None) -> None:
        self.open = True
        self.said: list[tuple[str, str]] = []
        self.shortcut = Shortcut(_frame)
        self.shortcut.begin(lambda _event: None)
        self.shortcut.lead_to(self)
        self._reader = TurnReader(Detokenizer(_TOKEN_BYTES, [1]), _TOKEN_BYTES)
        self._run = Run(core, name, tokens_input(prompt_token_ids=[1]), params or SamplingParams(), None)

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.said)

    def write(self, frame: bytes) -> None:
        self.said.append(("short", frame.decode()))

    async def reads(self) -> None:
        await self._run.begin()
        self._run.shorten(self.shortcut, self._reader)
        async for output in self._run.outputs():
            for event in self._run.read(self._reader, output):
                self.said.append(("long", _frame(event).decode()))
            await asyncio.sleep(0)  # as one who writes to somebody that does not read
        self._run.leave()


def _frame(event: Event) -> bytes:
    assert isinstance(event, TextDelta)
    return event.text.encode()
