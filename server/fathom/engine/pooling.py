"""One input through vLLM's pooling runner: text or token ids down, a vector up."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from vllm import PoolingParams
from vllm.exceptions import VLLMClientError
from vllm.inputs.engine import TokensInput, tokens_input
from vllm.outputs import PoolingRequestOutput
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError

from fathom.core.engine import Embedding, Prepared, Tokenized
from fathom.core.errors import (
    BadRequest,
    ContextLengthExceeded,
    ServiceError,
    StartupError,
    Unsupported,
)
from fathom.core.events import Event
from fathom.core.generation import Chat, GenerationRequest, Prompt, ReasoningControl, Text, TokenIds
from fathom.core.tenant import EVERYONE, Tenant
from fathom.engine.cache_salt import CacheSalts
from fathom.engine.core import CRASHED_AGAIN
from fathom.engine.loading import Loaded
from fathom.telemetry import record

_LONG = 20_000  # characters; above this, tokenizing leaves the event loop
_LISTED = 20


class Pooling:
    """All requests of one loaded embedding model. It takes what Turns takes, and refuses what needs generated text."""

    def __init__(self, loaded: Loaded, lora: dict[str, str]) -> None:
        if lora:
            raise StartupError(f"{loaded.card.source} makes embeddings, and LoRA adapters are served for text only.")
        self.card, self.core = loaded.card, loaded.core
        self._salts = CacheSalts()
        self._tokenizer: Any = loaded.core.llm.get_tokenizer()
        model = loaded.core.llm.model_config
        self._size: int = model.embedding_size
        self._can_shorten: bool = model.is_matryoshka
        self._sizes: Sequence[int] | None = model.matryoshka_dimensions
        self._lower_case = bool((model.encoder_config or {}).get("do_lower_case"))

    async def warm_up(self, llm: AsyncLLM) -> None:
        """Embed a word, so that the first request does not pay for what is made on first use. Raises StartupError."""
        tasks = await llm.get_supported_tasks()
        if "embed" not in tasks:
            raise StartupError(
                f"{self.card.source} makes neither text nor embeddings (its tasks are {', '.join(tasks)}): "
                "choose a model that does."
            )
        prompt = _input(self._encode(Text("Hello")))
        await _pool(llm, "warm-up", prompt, PoolingParams(task="embed", use_activation=True))

    async def prepare(self, request: GenerationRequest) -> Prepared:
        """Raises Unsupported, always."""
        raise Unsupported(
            f"{self.card.id!r} is an embedding model and makes no text: POST /v1/embeddings, or ask a server that "
            "serves a language model.",
            param="model",
        )

    def stream(self, prepared: Prepared) -> AsyncGenerator[Event]:
        raise AssertionError("nothing was prepared")

    async def tokenize(self, prompt: Prompt, reasoning: ReasoningControl) -> Tokenized:
        if isinstance(prompt, Chat):
            raise BadRequest(
                "This embedding model has no chat template: send a text instead of messages.", param="messages"
            )
        ids = await self._ids(prompt, "prompt")
        return Tokenized(tuple(ids), self._decode(ids))

    async def detokenize(self, ids: Sequence[int]) -> str:
        self._check(ids, "tokens")
        return self._decode(ids)

    async def embed(
        self, request_id: str, prompt: Text | TokenIds, dimensions: int | None, tenant: Tenant = EVERYONE
    ) -> Embedding:
        """The vector of one input; leaving it ends it in the engine. Raises ServiceError."""
        dimensions = self._shorter(dimensions)
        ids = await self._ids(prompt, "input")
        if len(ids) > self.card.context_length:
            raise _too_long(self.card.context_length, len(ids))
        params = PoolingParams(task="embed", dimensions=dimensions, use_activation=True)
        output = await self._pool(request_id, _input(ids, self._salts.of(tenant)), params)
        return Embedding(tuple(output.outputs.data.float().tolist()), len(ids))

    async def _pool(self, request_id: str, prompt: TokensInput, params: PoolingParams) -> PoolingRequestOutput:
        """Over a crash of the engine, but not over two."""
        crashes = 0
        while True:
            llm = await self.core.up()
            try:
                return await _pool(llm, request_id, prompt, params)
            except EngineDeadError:
                crashes += 1
                record.add(crashes=1)
            if crashes > 1:
                raise CRASHED_AGAIN.with_traceback(None)

    def _shorter(self, dimensions: int | None) -> int | None:
        """What to ask the engine for. Raises Unsupported for a size that the model was not trained to be cut to."""
        if dimensions is None or dimensions == self._size:
            return None
        if not self._can_shorten:
            can = f"vectors of {self._size} numbers, which cannot be shortened. Leave dimensions out"
        elif self._sizes and dimensions not in self._sizes:
            can = f"vectors of {_listed(self._sizes)} numbers. Ask for one of these, or leave dimensions out"
        elif dimensions > self._size:
            can = f"vectors of at most {self._size} numbers. Ask for fewer, or leave dimensions out"
        else:
            return dimensions
        raise Unsupported(f"dimensions = {dimensions} is not supported: this model makes {can}.", param="dimensions")

    async def _ids(self, prompt: Text | TokenIds, param: str) -> Sequence[int]:
        if isinstance(prompt, TokenIds):
            self._check(prompt.ids, param)
            return prompt.ids
        if len(prompt.text) > _LONG:
            return await asyncio.to_thread(self._encode, prompt)
        return self._encode(prompt)

    def _encode(self, prompt: Text) -> list[int]:
        text = prompt.text.lower() if self._lower_case else prompt.text
        return list(self._tokenizer.encode(text, add_special_tokens=prompt.begins))

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def _check(self, ids: Sequence[int], param: str) -> None:
        end = len(self._tokenizer)
        for token_id in ids:
            if not 0 <= token_id < end:
                raise BadRequest(f"{token_id} is no token of this model: its ids are 0 to {end - 1}.", param=param)


def _input(ids: Sequence[int], salt: str | None = None) -> TokensInput:
    return tokens_input(prompt_token_ids=list(ids), cache_salt=salt)


async def _pool(llm: AsyncLLM, request_id: str, prompt: TokensInput, params: PoolingParams) -> PoolingRequestOutput:
    try:
        async with aclosing(llm.encode(prompt, params, request_id)) as outputs:
            output = await anext(outputs)  # a pooling request has one output
    except VLLMClientError as error:
        raise BadRequest(str(error), param=getattr(error, "parameter", None) or "input") from None
    if output.error is not None or not output.outputs.data.numel():
        raise ServiceError("The engine ended the request without a vector.")
    return output


def _too_long(limit: int, tokens: int) -> BadRequest:
    error = BadRequest(
        f"This model reads at most {limit} tokens of input, and this input has {tokens}. Shorten it, or split it and "
        "embed the parts.",
        param="input",
    )
    error.code = ContextLengthExceeded.code
    return error


def _listed(sizes: Sequence[int]) -> str:
    more = ", ..." if len(sizes) > _LISTED else ""
    return ", ".join(map(str, sizes[:_LISTED])) + more
