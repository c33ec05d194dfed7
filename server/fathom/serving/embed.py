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


class Embeds(Protocol):
    def check_embeds(self) -> None: ...

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
        found: dict[int, Embedding] = {}

        def tokens() -> int:
            return sum(each.tokens for each in found.values())

        outcome = "aborted"  # what it is when nobody says otherwise: the client went away
        request = GenerationRequest(request_id, inputs[0], timeout=time_limit, caller=caller)
        with self.deadline(time_limit, patient=True) as deadline:
            try:
                self._engine.check_embeds()
                self._admission.check(request)
                sizes = [_tokens(prompt) for prompt in inputs]
                async with self._rates.reserved(caller, sum(sizes), 0, longest=max(sizes)) as reservation:
                    reservation.used = tokens
                    await deadline.wait(lambda: self._all(request, inputs, dimensions, found))
                outcome = "stop"
                return [found[at] for at in range(len(inputs))]
            except ServiceError as error:
                outcome = error.code or error.type
                raise
            finally:
                record.note(outcome=outcome)
                if found:
                    self._settle(caller, tokens())

    def _settle(self, caller: Caller, tokens: int) -> None:
        metrics.PROMPT_TOKENS.labels(cached="false").inc(tokens)
        metrics.tokens_of(caller.tenant.id).prompt.inc(tokens)
        record.note(prompt_tokens=tokens)
        self._ledger.add(caller, None, Amounts(1, tokens))

    async def _all(
        self,
        request: GenerationRequest,
        inputs: Sequence[Text | TokenIds],
        dimensions: int | None,
        found: dict[int, Embedding],
    ) -> None:
        """Into `found`, by their place among the inputs."""
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

    async def _one(self, request: GenerationRequest, prompt: Text | TokenIds, dimensions: int | None) -> Embedding:
        """What has begun is not refused for the rest of its inputs."""
        patient = Prepared(replace(request, prompt=prompt, patient=True), _tokens(prompt), 0)
        with self._admission.enter(patient) as entry:
            await entry.wait()
            return await self._engine.embed(request.id, prompt, dimensions, request.caller.tenant)


def _tokens(prompt: Text | TokenIds) -> int:
    """That it hardly exceeds; the engine counts them. In other scripts than Latin, every character may be one."""
    if isinstance(prompt, TokenIds):
        return len(prompt.ids)
    return len(prompt.text) // 3 + 2 if prompt.text.isascii() else len(prompt.text) + 2
