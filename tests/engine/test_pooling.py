"""Embeddings around a stand-in for AsyncLLM. Imports vllm, starts no engine."""

import asyncio
import warnings
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fathom.core.engine import ModelCard
from fathom.core.errors import BadRequest, EngineCrashed, ServiceError, StartupError, Unsupported
from fathom.core.generation import Chat, GenerationRequest, Message, ReasoningControl, Text, TokenIds
from fathom.engine.loading import Loaded
from fathom.models.profiles import by_name
from vllm.exceptions import VLLMValidationError

from tests.tokenizers import small_tokenizer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # as the server does: what vLLM imports is not ours to mend
    from fathom.engine.core import Core
    from fathom.engine.pooling import Pooling
    from vllm.outputs import PoolingOutput, PoolingRequestOutput, RequestError
    from vllm.v1.engine.exceptions import EngineDeadError

TOKENIZER = small_tokenizer()
LIMIT, SIZE = 16, 8


class Llm:
    """`result`: the vector that comes, or what is raised. `asked`: ids and params of each request."""

    def __init__(self, result: torch.Tensor | Exception, error: RequestError | None = None, **model: Any) -> None:
        self.result, self.error, self.tasks = result, error, ("embed", "token_embed")
        plain = {"embedding_size": SIZE, "is_matryoshka": False, "matryoshka_dimensions": None, "encoder_config": None}
        self.model_config = SimpleNamespace(**plain | model)
        self.asked: list[tuple[list[int], Any]] = []
        self.dies = 0  # of the next requests, so many find the engine dead
        self.errored = False
        self.engine_core = SimpleNamespace(resources=SimpleNamespace(engine_manager=None))
        self.left = asyncio.Event()

    def get_tokenizer(self) -> Any:
        return TOKENIZER

    async def get_supported_tasks(self) -> tuple[str, ...]:
        return self.tasks

    async def encode(self, prompt: Any, params: Any, request_id: str) -> AsyncGenerator[PoolingRequestOutput]:
        self.asked.append((prompt["prompt_token_ids"], params))
        try:
            if self.dies:
                self.dies -= 1
                raise EngineDeadError
            if isinstance(self.result, TimeoutError):
                await asyncio.sleep(60)
            if isinstance(self.result, Exception):
                raise self.result
            ids = prompt["prompt_token_ids"]
            yield PoolingRequestOutput(request_id, PoolingOutput(self.result), ids, 0, True, error=self.error)
        finally:
            self.left.set()


def pooling(result: torch.Tensor | Exception | None = None, **more: Any) -> tuple[Pooling, Llm]:
    llm = Llm(torch.ones(SIZE) if result is None else result, **more)
    card = ModelCard("tiny", "a test", "plain", "cpu", "float32", LIMIT, 0, 0, embeds=True)
    core = Core(lambda _: llm, Path("log"), hang_timeout=60)  # type: ignore[arg-type,return-value]  # a stand-in
    return Pooling(Loaded(core, by_name("plain"), card), {}), llm


async def refused(prompt: Text | TokenIds, dimensions: int | None = None, **more: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        await pooling(**more)[0].embed("r", prompt, dimensions)
    return caught.value


async def test_a_text_becomes_tokens_and_a_normalised_vector_is_asked_for():
    model, llm = pooling()
    embedding = await model.embed("r", Text("hello world"), None)
    ids, params = llm.asked[0]
    assert ids == TOKENIZER.encode("hello world")
    assert (params.task, params.use_activation, params.dimensions) == ("embed", True, None)
    assert (embedding.vector, embedding.tokens) == ((1.0,) * SIZE, len(ids))


async def test_token_ids_go_as_they_are():
    model, llm = pooling()
    assert (await model.embed("r", TokenIds((5, 6, 7)), None)).tokens == 3
    assert llm.asked[0][0] == [5, 6, 7]


async def test_a_half_precision_vector_is_widened():
    model, _ = pooling(torch.full((SIZE,), 0.5, dtype=torch.bfloat16))
    assert (await model.embed("r", TokenIds((5,)), None)).vector == (0.5,) * SIZE


async def test_a_model_of_lower_case_gets_lower_case():
    model, llm = pooling(encoder_config={"do_lower_case": True})
    await model.embed("r", Text("HELLO"), None)
    assert llm.asked[0][0] == TOKENIZER.encode("hello")


async def test_an_input_of_full_length_passes_and_a_longer_one_names_both_sizes():
    assert (await pooling()[0].embed("r", TokenIds((5,) * LIMIT), None)).tokens == LIMIT
    error = await refused(TokenIds((5,) * (LIMIT + 1)))
    assert (error.status, error.code, error.param) == (400, "context_length_exceeded", "input")
    assert "at most 16 tokens" in error.message
    assert "has 17" in error.message


async def test_a_long_text_is_tokenized_off_the_event_loop(monkeypatch):
    threads: list[str] = []
    real = asyncio.to_thread

    async def to_thread(work: Any, *args: Any) -> Any:
        threads.append(work.__name__)
        return await real(work, *args)

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    await refused(Text("hello " * 4000))
    assert threads == ["_encode"]


@pytest.mark.parametrize("bad", [-1, len(TOKENIZER), 2**40])
async def test_an_id_that_is_no_token_is_refused(bad):
    error = await refused(TokenIds((5, bad)))
    assert error.param == "input"
    assert str(bad) in error.message
    with pytest.raises(BadRequest):
        await pooling()[0].detokenize([bad])


async def test_a_model_that_is_not_matryoshka_has_its_own_size_alone():
    error = await refused(Text("a"), 4)
    assert (error.code, error.param) == ("unsupported_value", "dimensions")
    assert "8 numbers, which cannot be shortened" in error.message
    model, llm = pooling()
    await model.embed("r", Text("a"), SIZE)
    assert llm.asked[0][1].dimensions is None


@pytest.mark.parametrize(("sizes", "passes", "fails"), [(None, 5, 9), ([2, 4], 4, 5)])
async def test_a_matryoshka_model_is_cut_to_the_sizes_that_it_has(sizes: Sequence[int] | None, passes: int, fails: int):
    matryoshka = {"is_matryoshka": True, "matryoshka_dimensions": sizes}
    model, llm = pooling(**matryoshka)
    await model.embed("r", Text("a"), passes)
    assert llm.asked[0][1].dimensions == passes
    assert (await refused(Text("a"), fails, **matryoshka)).param == "dimensions"


async def test_what_vllm_refuses_is_a_bad_request():
    error = await refused(Text("a"), result=VLLMValidationError("too odd"))
    assert (error.status, error.message, error.param) == (400, "too odd", "input")


async def test_an_input_outlives_the_engine_once():
    model, llm = pooling()
    llm.dies = 1
    assert (await model.embed("r", Text("a"), None)).vector == (1.0,) * SIZE
    llm.dies = 2
    with pytest.raises(EngineCrashed, match="died twice"):
        await model.embed("r", Text("a"), None)
    assert len(llm.asked) == 4


@pytest.mark.parametrize("more", [{"error": RequestError("x", "y")}, {"result": torch.empty(0)}])
async def test_an_output_without_a_vector_is_a_server_error(more):
    with pytest.raises(ServiceError) as caught:
        await pooling(**more)[0].embed("r", Text("a"), None)
    assert caught.value.status == 500


async def test_leaving_leaves_the_engine():
    model, llm = pooling(TimeoutError())
    task = asyncio.create_task(model.embed("r", Text("a"), None))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert llm.left.is_set()


async def test_text_is_not_its_trade():
    with pytest.raises(Unsupported, match="POST /v1/embeddings") as caught:
        await pooling()[0].prepare(GenerationRequest("r", Text("a")))
    assert caught.value.param == "model"


async def test_texts_are_tokenized_and_chats_are_not():
    model, _ = pooling()
    tokens = await model.tokenize(Text("hello world"), ReasoningControl())
    assert (list(tokens.ids), tokens.text) == (TOKENIZER.encode("hello world"), "hello world")
    assert await model.detokenize(tokens.ids) == "hello world"
    with pytest.raises(BadRequest) as caught:
        await model.tokenize(Chat((Message("user", "hi"),)), ReasoningControl())
    assert caught.value.param == "messages"


async def test_a_model_that_pools_into_something_else_is_not_served():
    model, llm = pooling()
    await model.warm_up(llm)
    assert llm.asked
    llm.tasks = ("classify",)
    with pytest.raises(StartupError, match="classify"):
        await model.warm_up(llm)


def test_adapters_are_not_served_with_it():
    card = ModelCard("tiny", "a test", "plain", "cpu", "float32", LIMIT, 0, 0, embeds=True)
    with pytest.raises(StartupError, match="LoRA"):
        Pooling(Loaded(Llm(torch.ones(SIZE)), by_name("plain"), card), {"a": "/a"})
