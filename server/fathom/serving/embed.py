"""The single path of embeddings: the inputs of a request, engine-ward at once, and metered."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from fathom.core.engine import Embedding
from fathom.core.errors import BadRequest, ServiceError
from fathom.core.generation import Text, TokenIds
from fathom.core.tenant import ANYONE, Caller
from fathom.serving.live import Live
from fathom.settings import LimitSettings
from fathom.telemetry import metrics, record

AT_ONCE = 64
"""Inputs of one request that are in the engine at a time: enough to fill its batches, too few to crowd others out."""


class Embeds(Protocol):
    async def embed(self, request_id: str, prompt: Text | TokenIds, dimensions: int | None) -> Embedding: ...


class Embed(Live):
    def __init__(self, engine: Embeds, limits: LimitSettings | None = None) -> None:
        super().__init__(limits)
        self._engine = engine

    async def __call__(
        self,
        request_id: str,
        inputs: Sequence[Text | TokenIds],
        dimensions: int | None,
        time_limit: float | None = None,
        *,
        caller: Caller = ANYONE,
    ) -> list[Embedding]:
        """A vector for each input, in order. The first failure, and being cancelled, ends them all.

        time_limit: seconds that the client gives. caller: whose it is. Raises ServiceError; one of a single input among
        several says which, as in `input.3`.
        """
        outcome = "aborted"  # what it is when nobody says otherwise: the client went away
        with self.deadline(time_limit, patient=True) as deadline:
            try:
                embeddings = await deadline.wait(lambda: self._all(request_id, inputs, dimensions))
                outcome = "stop"
                _meter(embeddings)
                return embeddings
            except ServiceError as error:
                outcome = error.code or error.type
                raise
            finally:
                record.note(outcome=outcome)

    async def _all(self, request_id: str, inputs: Sequence[Text | TokenIds], dimensions: int | None) -> list[Embedding]:
        found: dict[int, Embedding] = {}
        waiting = enumerate(inputs)  # the workers share it: each takes the next one

        async def work() -> None:
            for at, prompt in waiting:
                try:
                    found[at] = await self._engine.embed(f"{request_id}-{at}", prompt, dimensions)
                except BadRequest as error:
                    if error.param == "input" and len(inputs) > 1:
                        error.param = f"input.{at}"
                    raise

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(AT_ONCE, len(inputs))):
                    group.create_task(work())
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [found[at] for at in range(len(inputs))]


def _meter(embeddings: Iterable[Embedding]) -> None:
    tokens = sum(embedding.tokens for embedding in embeddings)
    metrics.PROMPT_TOKENS.labels(cached="false").inc(tokens)
    record.note(prompt_tokens=tokens)
