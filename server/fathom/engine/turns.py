"""Requests through vLLM: prompt and sampling down, tokens up, events out."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import replace
from typing import Any

from transformers import TokenizersBackend
from vllm import SamplingParams
from vllm.inputs.engine import tokens_input
from vllm.lora.request import LoRARequest
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM

from fathom.core.engine import Embedding, Prepared, Tokenized
from fathom.core.errors import StartupError, makes_no_embeddings
from fathom.core.events import Accepted, Echo, Event, Queued
from fathom.core.generation import GenerationRequest, Prompt, ReasoningControl, Text, TokenIds
from fathom.core.merging import merge
from fathom.core.tenant import EVERYONE, Tenant
from fathom.engine.cache_salt import CacheSalts
from fathom.engine.grammar_check import GrammarChecker, tokenizer_info
from fathom.engine.loading import Loaded
from fathom.engine.logprobs import token_logprob
from fathom.engine.plan import Plan, Planner
from fathom.engine.reader import TurnReader
from fathom.engine.run import REFUSED, Run, refusal, running
from fathom.engine.sampling import to_params

_MANY = 5_000  # tokens; spelling more of them leaves the event loop
_PARAGRAPH = "\n\n"


class Turns:
    """All requests of one loaded model."""

    def __init__(self, loaded: Loaded, lora: dict[str, str]) -> None:
        self.card, self.core = loaded.card, loaded.core
        self._reasoning = loaded.profile.reasoning
        tokenizer = loaded.core.llm.get_tokenizer()
        if not isinstance(tokenizer, TokenizersBackend):
            raise StartupError(
                f"{loaded.card.source}: its tokenizer has no tokenizer.json; convert it to that format first"
            )
        self._tokenizer = tokenizer
        self._checker = GrammarChecker(tokenizer_info(tokenizer, loaded.core.llm.model_config.get_vocab_size()))
        self._planner = Planner(
            tokenizer, loaded.profile, context_length=self.card.context_length, checker=self._checker
        )
        self._defaults: dict[str, Any] = dict(loaded.card.sampling)
        self._salts = CacheSalts()
        self._adapters = {name: LoRARequest(name, at, path) for at, (name, path) in enumerate(lora.items(), start=1)}

    async def warm_up(self, llm: AsyncLLM) -> None:
        """Generate a token, so that the first request does not pay for what is made on first use."""
        params = SamplingParams(max_tokens=2, detokenize=False, output_kind=RequestOutputKind.DELTA)
        prompt = tokens_input(prompt_token_ids=self._planner.encode("Hello")[:1])
        async for _ in llm.generate(prompt, params, "warm-up"):
            pass

    async def prepare(self, request: GenerationRequest) -> Prepared:
        """Raises BadRequest and its kin."""
        plan = await self._planner.plan(request)
        self._check(self._params(request, plan, 0))
        return Prepared(request, len(plan.prompt.ids), plan.limit * request.n, plan)

    async def stream(self, prepared: Prepared) -> AsyncGenerator[Event]:
        """Raises ServiceError at any time."""
        request, plan = prepared.request, prepared.plan
        async with AsyncExitStack() as stack:
            runs = [await stack.enter_async_context(self._first_leg(request, plan, at)) for at in range(request.n)]
            ids = plan.prompt.ids
            yield Accepted(len(ids), tuple(ids) if request.token_ids else None)
            if request.echo:
                yield await self._echo(request, plan, runs[0])
            if request.shortcut and request.n == 1 and not plan.readers[0].may_stop:
                runs[0].shorten(request.shortcut, plan.readers[0])
            choices = [self._choice(request, plan, at, run) for at, run in enumerate(runs)]
            async with aclosing(merge(choices)) as events:
                async for event in events:
                    yield event

    async def tokenize(self, prompt: Prompt, reasoning: ReasoningControl) -> Tokenized:
        """What `stream` would read."""
        ids = (await self._planner.renderer.render(prompt, reasoning)).ids
        return Tokenized(tuple(ids), await self._spell(ids))

    async def detokenize(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens spelled out."""
        self._planner.renderer.check_ids(ids, "tokens")
        return await self._spell(ids)

    async def _spell(self, ids: Sequence[int]) -> str:
        """In a thread where they are many; a batch of one, since that lets other threads run."""

        def decode() -> str:
            (text,) = self._tokenizer.backend_tokenizer.decode_batch([list(ids)], skip_special_tokens=False)
            return str(text)

        return await asyncio.to_thread(decode) if len(ids) > _MANY else decode()

    async def embed(
        self, request_id: str, prompt: Text | TokenIds, dimensions: int | None, tenant: Tenant = EVERYONE
    ) -> Embedding:
        raise makes_no_embeddings(self.card.id)

    def _choice(self, request: GenerationRequest, plan: Plan, at: int, run: Run) -> AsyncGenerator[Event]:
        """One choice from its first token to Finished. The first one's events are numbered as they are."""
        events = self._legs(request, plan, plan.readers[at], at, run)
        return _numbered(events, at) if at else events

    async def _legs(
        self, request: GenerationRequest, plan: Plan, reader: TurnReader, at: int, run: Run
    ) -> AsyncGenerator[Event]:
        if plan.limit:
            async for output in run.outputs():
                for event in run.read(reader, output):
                    yield event
                if reader.stopped:
                    break
        reason, cached = run.reason if plan.limit else "length", run.cached_tokens
        lead = self._lead_to_answer(plan, reader) if reason == "stop" else []
        left = plan.limit - len(reader.ids) - len(lead)
        if lead and left < 1:
            reason = "length"
        elif lead:
            for event in reader.read(lead):
                yield event
            async with self._second_leg(request, plan, reader, at, left) as run:
                async for output in run.outputs():
                    for event in run.read(reader, output):
                        yield event
                    if reader.stopped:
                        break
            reason = run.reason
        for event in reader.finish(reason, len(plan.prompt.ids), cached):
            yield event

    def _first_leg(self, request: GenerationRequest, plan: Plan, at: int) -> AbstractAsyncContextManager[Run]:
        return self._running(f"{request.id}-{at}", plan.prompt.ids, self._params(request, plan, at), request)

    def _params(self, request: GenerationRequest, plan: Plan, at: int) -> SamplingParams:
        return to_params(
            request.sampling,
            self._defaults,
            limit=plan.limit,
            choice=at,
            budget=plan.budget,
            tag=plan.tag,
            echo=request.echo and at == 0,
        )

    def _check(self, params: SamplingParams) -> None:
        """What vLLM would refuse later: before its turn, a request can still be refused by status. Grammars are
        checked already."""
        config = self.core.llm.vllm_config
        try:
            params.verify(config.model_config, config.speculative_config, None, self._tokenizer)
            params.update_from_tokenizer(self._tokenizer)
        except REFUSED as error:
            raise refusal(error) from None

    def _second_leg(
        self, request: GenerationRequest, plan: Plan, reader: TurnReader, at: int, left: int
    ) -> AbstractAsyncContextManager[Run]:
        """The answer of a turn that ended without one (ADR 0004)."""
        rest = replace(request.sampling, min_tokens=max(1, request.sampling.min_tokens - len(reader.ids)))
        params = to_params(rest, self._defaults, limit=left, choice=at)
        return self._running(f"{request.id}-{at}-answer", plan.prompt.ids + reader.ids, params, request)

    def _running(
        self, request_id: str, ids: list[int], params: SamplingParams, request: GenerationRequest
    ) -> AbstractAsyncContextManager[Run]:
        prompt = tokens_input(prompt_token_ids=ids, cache_salt=self._salts.of(request.caller.tenant))
        return running(self.core, request_id, prompt, params, self._adapters.get(request.adapter or ""))

    async def _echo(self, request: GenerationRequest, plan: Plan, run: Run) -> Echo:
        ids = plan.prompt.ids
        match request.prompt:
            case Text(text):
                pass
            case _:
                text = str(self._tokenizer.decode(ids, skip_special_tokens=False))
        if request.sampling.logprobs is None:
            return Echo(text)
        places = await run.prompt_logprobs() or [None] * len(ids)
        most = request.sampling.logprobs
        return Echo(
            text,
            tuple(
                token_logprob(token_id, place, most, self._planner.token_bytes)
                for token_id, place in zip(ids, places, strict=True)
            ),
        )

    def _lead_to_answer(self, plan: Plan, reader: TurnReader) -> list[int]:
        """What to put behind a turn that ended without an answer, in a family that does so; else nothing."""
        reasoning = self._reasoning
        if reasoning is None or not reasoning.answers_after_eos or reader.answered or not plan.prompt.thinks:
            return []
        if plan.prompt.continues and not plan.prompt.thinking:  # an answer that was there already
            return []
        return self._planner.encode(reasoning.closing if reader.thinking else _PARAGRAPH)


async def _numbered(events: AsyncGenerator[Event], choice: int) -> AsyncGenerator[Event]:
    async with aclosing(events):
        async for event in events:
            yield event if isinstance(event, Queued | Accepted | Echo) else replace(event, choice=choice)
