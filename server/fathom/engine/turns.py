"""One request through vLLM: prompt and sampling down, tokens up, events out."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from transformers import PreTrainedTokenizerBase, TokenizersBackend
from vllm import SamplingParams
from vllm.exceptions import VLLMClientError
from vllm.inputs.engine import tokens_input
from vllm.lora.request import LoRARequest
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.exceptions import EngineDeadError

from fathom.core.errors import BadRequest, EngineUnavailable, StartupError
from fathom.core.events import Accepted, Event
from fathom.core.generation import GenerationRequest
from fathom.engine.loading import Loaded
from fathom.engine.prompt import PromptRenderer
from fathom.engine.reader import TurnReader
from fathom.engine.reasoning import Delimiter
from fathom.engine.run import Run
from fathom.engine.sampling import completion_limit, engine_budget, thinking_budget, to_params

_PARAGRAPH = "\n\n"


@dataclass(frozen=True, slots=True)
class _Turn:
    """What a request became: the prompt's ids, the most tokens that may follow, and who reads them."""

    prompt_ids: list[int]
    limit: int
    budget: int | None
    reader: TurnReader


class Turns:
    """All requests of one loaded model."""

    def __init__(self, loaded: Loaded, lora: dict[str, str]) -> None:
        self.card = loaded.card
        self._llm = loaded.llm
        self._profile = loaded.profile
        tokenizer = loaded.llm.get_tokenizer()
        if not isinstance(tokenizer, TokenizersBackend):
            raise StartupError(
                f"{loaded.card.source}: its tokenizer has no tokenizer.json; convert it to that format first"
            )
        self._tokenizer: PreTrainedTokenizerBase = tokenizer
        self._backend = tokenizer.backend_tokenizer
        self._renderer = PromptRenderer(tokenizer, loaded.profile)
        self._defaults: dict[str, Any] = loaded.llm.model_config.get_diff_sampling_param() | loaded.profile.sampling
        self._defaults.pop("max_tokens", None)
        self._adapters = {name: LoRARequest(name, at, path) for at, (name, path) in enumerate(lora.items(), start=1)}
        self._aborts: set[asyncio.Task[None]] = set()
        reasoning = loaded.profile.reasoning
        self._start_ids = self._encode(reasoning.start) if reasoning else []
        self._end_ids = self._encode(reasoning.end) if reasoning else []
        self._delimiters = (
            (_delimiter(reasoning.start, self._start_ids), _delimiter(reasoning.end, self._end_ids))
            if reasoning
            else None
        )

    async def warm_up(self) -> None:
        """Generate a token, so that the first request does not pay for what is made on first use."""
        params = SamplingParams(max_tokens=2, detokenize=False, output_kind=RequestOutputKind.DELTA)
        async with self._running("warm-up", self._encode("Hello")[:1], params) as run:
            async for _ in run.outputs():
                pass

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Event]:
        """Raises BadRequest and its kin before Accepted, other ServiceErrors at any time."""
        turn = await self._plan(request)
        reader, adapter = turn.reader, self._adapters.get(request.adapter or "")
        params = to_params(request.sampling, self._defaults, limit=turn.limit, budget=turn.budget)
        async with self._running(request.id, turn.prompt_ids, params, adapter) as run:
            yield Accepted(len(turn.prompt_ids))
            async for event in run.read(reader):
                yield event
        reason, cached = run.reason, run.cached_tokens
        lead = self._lead_to_answer(reader) if reason == "stop" else []
        left = turn.limit - len(reader.ids) - len(lead)
        if lead and left < 1:
            reason = "length"
        elif lead:
            for event in reader.read(lead):
                yield event
            rest = replace(request.sampling, min_tokens=max(1, request.sampling.min_tokens - len(reader.ids)))
            params = to_params(rest, self._defaults, limit=left, budget=None)
            async with self._running(f"{request.id}-answer", turn.prompt_ids + reader.ids, params, adapter) as run:
                async for event in run.read(reader):
                    yield event
            reason = run.reason
        for event in reader.finish(reason, cached):
            yield event

    def died(self) -> str | None:
        return str(self._llm.dead_error) if self._llm.errored else None

    def shut_down(self, seconds: float) -> None:
        """Blocks until the engine's processes have ended, or `seconds` are over."""
        self._llm.shutdown(timeout=seconds)

    async def _plan(self, request: GenerationRequest) -> _Turn:
        prompt = await self._renderer.render(request.messages, request.reasoning)
        limit = completion_limit(request.sampling, len(prompt.ids), self.card.context_length)
        budget = None
        if self._profile.reasoning and self._renderer.thinks(request.reasoning):
            budget = thinking_budget(request.reasoning.budget, self._profile.reasoning.budget, limit)
        reader = TurnReader(
            self._backend,
            prompt.ids,
            delimiters=self._delimiters,
            thinking=prompt.thinking,
            stop=request.sampling.stop,
            budget=budget,
            end_tokens=len(self._end_ids),
        )
        if prompt.thinking:
            budget = engine_budget(budget, self._trace_tokens(prompt.ids))
        return _Turn(prompt.ids, limit, budget, reader)

    @asynccontextmanager
    async def _running(
        self, request_id: str, ids: list[int], params: SamplingParams, adapter: LoRARequest | None = None
    ) -> AsyncGenerator[Run]:
        """A request in the engine. It is aborted if the block is left before its end."""
        try:
            queue = await self._llm.add_request(
                request_id, tokens_input(prompt_token_ids=ids), params, lora_request=adapter
            )
        except EngineDeadError as error:
            raise EngineUnavailable("The engine has died; the server is ending.", retry_after=10) from error
        except (VLLMClientError, ValueError) as error:
            raise BadRequest(str(error), param=getattr(error, "parameter", None)) from None
        run = Run(queue)
        try:
            yield run
        finally:
            if not run.finished:  # a task of its own: we may be in the middle of being cancelled
                abort = asyncio.create_task(self._llm.abort(queue.request_id, internal=True))
                self._aborts.add(abort)
                abort.add_done_callback(self._aborts.discard)
            queue.close()

    def _lead_to_answer(self, reader: TurnReader) -> list[int]:
        """What to put behind a turn that ended without an answer, in a family that does so; else nothing."""
        reasoning = self._profile.reasoning
        if reasoning is None or not reasoning.answers_after_eos or reader.answered:
            return []
        return self._encode(reasoning.closing if reader.thinking else _PARAGRAPH)

    def _trace_tokens(self, ids: list[int]) -> int:
        """How many tokens of the prompt follow its last start delimiter."""
        width = len(self._start_ids)
        starts = (at for at in range(len(ids) - width, -1, -1) if ids[at : at + width] == self._start_ids)
        return len(ids) - next(starts, len(ids) - width) - width

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))


def _delimiter(text: str, ids: list[int]) -> Delimiter:
    return Delimiter(text, ids[0] if len(ids) == 1 else None)
