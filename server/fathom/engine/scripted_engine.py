"""An engine without a model: plays scripted events. For front-end development, unit tests and front-end load tests."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

from fathom.core.engine import Embedding, ModelCard, Phase, Prepared, Progress, Tokenized, Trouble
from fathom.core.errors import BadRequest, EngineUnavailable, Unsupported
from fathom.core.events import Accepted, Event, Finished, ReasoningDelta, TextDelta
from fathom.core.generation import Chat, GenerationRequest, Prompt, ReasoningControl, Text, TokenIds
from fathom.core.tenant import EVERYONE, Tenant

_CONTEXT = 4096

Script = Callable[[GenerationRequest], Iterable[Event | Exception]]


def text_of(prompt: Prompt) -> str:
    """The text of a prompt, or of its last message; token ids are code points."""
    match prompt:
        case Chat():
            return prompt.messages[-1].content
        case Text():
            return prompt.text
        case TokenIds():
            return "".join(map(chr, prompt.ids))


def think_then_answer(request: GenerationRequest) -> Iterable[Event]:
    """A short trace (in a chat), then the last message said back."""
    words = text_of(request.prompt).split()
    thinks = isinstance(request.prompt, Chat)
    yield Accepted(prompt_tokens=7)
    for choice in range(request.n):
        if thinks:
            yield from (ReasoningDelta("Let me", choice), ReasoningDelta(" think.", choice))
        yield from (TextDelta(word if at == 0 else f" {word}", choice) for at, word in enumerate(words))
        thought = 3 if thinks else 0
        yield Finished("stop", 7, len(words) + thought + 1, reasoning_tokens=thought, choice=choice)


class ScriptedEngine:
    """`delay`: seconds before each event. `running`, `aborted`: ids of requests that run, and that were cut short.
    `death`: what it says of itself; its streams stand still from then on. `restarts`: how often it was started again;
    each takes `restart_delay` seconds. `short`: how many deltas went by a shortcut."""

    def __init__(self, script: Script = think_then_answer, *, delay: float = 0.0, model: str = "scripted") -> None:
        self.script, self.delay, self.model = script, delay, model
        self.embeds = self.fills = False
        self.max_num_seqs = 256
        self.requests: list[GenerationRequest] = []
        self.running: set[str] = set()
        self.aborted: set[str] = set()
        self.death: Trouble | None = None
        self.restarts, self.restart_delay = 0, 0.0
        self.short = 0
        self.gone: str | None = None

    async def start(self, progress: Progress) -> ModelCard:
        progress(Phase.WARMING, None)
        return ModelCard(
            id=self.model,
            source="a script",
            profile="plain",
            device="none",
            dtype="none",
            context_length=_CONTEXT,
            kv_cache_tokens=65536,
            created=int(time.time()),
            max_num_seqs=self.max_num_seqs,
            embeds=self.embeds,
            fills=self.fills,
        )

    async def prepare(self, request: GenerationRequest) -> Prepared:
        """Of the prompt, each word is a token."""
        self.requests.append(request)
        limit = request.sampling.max_tokens or _CONTEXT
        return Prepared(request, len(text_of(request.prompt).split()), limit * request.n)

    async def stream(self, prepared: Prepared) -> AsyncGenerator[Event]:
        request, finished = prepared.request, False
        self.running.add(request.id)
        try:
            for event in self.script(request):
                await asyncio.sleep(self.delay)
                await self._alive()
                if isinstance(event, Exception):
                    raise event
                finished = isinstance(event, Finished)
                if request.n == 1 and isinstance(event, TextDelta | ReasoningDelta) and self._sends(request, event):
                    continue
                yield event
        finally:
            self.running.discard(request.id)
            if not finished:
                self.aborted.add(request.id)

    def _sends(self, request: GenerationRequest, delta: Event) -> bool:
        """By the shortcut, as vLLM's outputs are."""
        if not request.shortcut or not request.shortcut.open:
            return False
        request.shortcut.take([delta])()
        self.short += 1
        return True

    def unfinished(self) -> int | None:
        """Not told: its streams go as fast as they are read."""
        return None

    async def tokenize(self, prompt: Prompt, reasoning: ReasoningControl) -> Tokenized:
        """One token a character: its code point."""
        text = text_of(prompt)
        return Tokenized(tuple(map(ord, text)), text)

    async def detokenize(self, ids: Sequence[int]) -> str:
        for token_id in ids:
            if token_id >= 0x110000:
                raise BadRequest(f"{token_id} is no token of this model.", param="tokens")
        return "".join(map(chr, ids))

    async def embed(
        self, request_id: str, prompt: Text | TokenIds, dimensions: int | None, tenant: Tenant = EVERYONE
    ) -> Embedding:
        """A unit vector that points where the length of the prompt says."""
        if not self.embeds:
            raise Unsupported("This server serves a model that makes no embeddings.", param="model")
        size, text = dimensions or 8, text_of(prompt)
        return Embedding(tuple(float(at == len(text) % size) for at in range(size)), len(text))

    def kv_usage(self) -> float:
        return 0.0

    def trouble(self) -> Trouble | None:
        return self.death

    async def restart(self) -> None:
        await asyncio.sleep(self.restart_delay)
        self.death = None
        self.restarts += 1

    def give_up(self, reason: str) -> None:
        self.gone = reason

    async def _alive(self) -> None:
        while self.death:
            if self.gone:
                raise EngineUnavailable(self.gone)
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        pass
