"""The single path of embeddings: the inputs of a request, each in its turn to the engine, and metered."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from fathom.core.engine import Embedding, Prepared
from fathom.core.errors import BadRequest, ServiceError
from fathom.core.generation import GenerationRequest, Text, TokenIds
from fathom.core.tenant import ANYONE, Caller, Tenant
from fathom.core.usage import Amounts
from fathom.serving.admission import Admission
from fathom.serving.limits import RateLimits
from fathom.serving.live import Live
from fathom.serving.usage import Ledger
from fathom.settings import LimitSettings
from fathom.telemetry import metrics, record

AT_ONCE = 64
"""Inputs of one request that are in the engine at a time: enough to fill its batches, too few to crowd others out."""


_CHARACTERS_OF_A_TOKEN = 4  # about: the engine counts them when their turn has come


class Embeds(Protocol):
    async def embed(
        self, request_id: str, prompt: Text | TokenIds, dimensions: int | None, tenant: Tenant
    ) -> Embedding: ...


class Embed(Live):
    def __init__(
        self,
        engine: Embeds,
        admission: Admission,
        rates: RateLimits,
        ledger: Ledger,
        limits: LimitSettings | None = None,
    ) -> None:
        super().__init__(limits)
        self._engine, self._admission, self._rates, self._ledger = engine, admission, rates, ledger

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
        request = GenerationRequest(request_id, inputs[0], timeout=time_limit, caller=caller)
        with self.deadline(time_limit, patient=True) as deadline:
            try:
                self._admission.check(request)
                async with self._rates.reserved(caller, 0, 0) as reservation:  # inputs are counted by the engine
                    embeddings = await deadline.wait(lambda: self._all(request, inputs, dimensions))
                    outcome, tokens = "stop", sum(each.tokens for each in embeddings)
                    reservation.used = lambda: tokens
                _meter(tokens, caller)
                self._ledger.add(caller, None, Amounts(1, tokens))
                return embeddings
            except ServiceError as error:
                outcome = error.code or error.type
                raise
            finally:
                record.note(outcome=outcome)

    async def _all(
        self, request: GenerationRequest, inputs: Sequence[Text | TokenIds], dimensions: int | None
    ) -> list[Embedding]:
        found: dict[int, Embedding] = {}
        waiting = enumerate(inputs)  # the workers share it: each takes the next one

        async def work() -> None:
            for at, prompt in waiting:
                try:
                    found[at] = await self._one(replace(request, id=f"{request.id}-{at}"), prompt, dimensions)
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

    async def _one(self, request: GenerationRequest, prompt: Text | TokenIds, dimensions: int | None) -> Embedding:
        """What has begun is not refused for the rest of its inputs."""
        patient = Prepared(replace(request, prompt=prompt, patient=True), _tokens(prompt), 0)
        with self._admission.enter(patient) as entry:
            await entry.wait()
            return await self._engine.embed(request.id, prompt, dimensions, request.caller.tenant)


def _tokens(prompt: Text | TokenIds) -> int:
    return len(prompt.ids) if isinstance(prompt, TokenIds) else len(prompt.text) // _CHARACTERS_OF_A_TOKEN + 1


def _meter(tokens: int, caller: Caller) -> None:
    metrics.PROMPT_TOKENS.labels(cached="false").inc(tokens)
    metrics.tokens_of(caller.tenant.id).prompt.inc(tokens)
    record.note(prompt_tokens=tokens)
