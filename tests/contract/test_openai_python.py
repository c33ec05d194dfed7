"""The official openai SDK for Python: chat with trace and answer, sync and async."""

import asyncio

import openai
import pytest

from tests.contract.cases import EFFORT, MESSAGES, MODEL, TOKENS, TOO_LONG

SHORT = {"model": MODEL, "max_completion_tokens": TOKENS, "reasoning_effort": EFFORT, "temperature": 0}


@pytest.fixture
def client(recorder):
    with openai.OpenAI(base_url=recorder.url, api_key="none", max_retries=0) as client:
        yield client


def test_it_lists_and_retrieves_the_model(client):
    models = list(client.models.list())
    assert [model.id for model in models] == [MODEL]
    assert client.models.retrieve(MODEL).object == "model"


def test_it_gets_a_completion_with_a_trace(client):
    completion = client.chat.completions.create(messages=MESSAGES, **SHORT)
    message = completion.choices[0].message
    assert message.content
    assert message.reasoning_content
    assert completion.usage.completion_tokens_details.reasoning_tokens > 0
    assert completion._request_id


def test_thinking_can_be_turned_off(client):
    body = {"thinking": {"type": "disabled"}}
    completion = client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=10, extra_body=body)
    assert completion.choices[0].message.content
    assert not hasattr(completion.choices[0].message, "reasoning_content")
    assert completion.usage.completion_tokens_details.reasoning_tokens == 0


def test_it_streams_the_trace_and_then_the_answer(client):
    stream = client.chat.completions.create(
        messages=MESSAGES, stream=True, stream_options={"include_usage": True}, **SHORT
    )
    chunks = list(stream)
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    kinds = "".join("r" if hasattr(delta, "reasoning_content") else "c" if delta.content else "" for delta in deltas)
    assert kinds.startswith("r")
    assert kinds.rstrip("c").endswith("r")
    assert kinds.endswith("c")
    assert chunks[-1].usage.completion_tokens_details.reasoning_tokens > 0


async def test_the_async_client_streams(recorder):
    async with openai.AsyncOpenAI(base_url=recorder.url, api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(messages=MESSAGES, stream=True, **SHORT)
        chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert any(getattr(chunk.choices[0].delta, "reasoning_content", None) for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")


async def test_the_async_client_asks_twice_at_once(recorder):
    async with openai.AsyncOpenAI(base_url=recorder.url, api_key="none", max_retries=0) as client:
        one, other = await asyncio.gather(
            *(client.chat.completions.create(messages=MESSAGES, **SHORT) for _ in range(2))
        )
    assert one.choices[0].message.content  # which batch a request was in may show in its last digits, and so in a word
    assert other.choices[0].message.content
    assert one.id != other.id


def test_raw_responses_show_the_headers(client):
    raw = client.chat.completions.with_raw_response.create(messages=MESSAGES, **SHORT)
    assert raw.request_id == raw.headers["x-request-id"]
    assert float(raw.headers["openai-processing-ms"]) > 0
    assert raw.parse().choices[0].message.content


def test_it_gets_two_choices_with_logprobs(client):
    completion = client.chat.completions.create(messages=MESSAGES, n=2, logprobs=True, top_logprobs=2, **SHORT)
    assert [choice.index for choice in completion.choices] == [0, 1]
    for choice in completion.choices:
        entries = choice.logprobs.content
        assert all(entry.logprob <= 0 and len(entry.top_logprobs) == 2 for entry in entries)
        text = b"".join(bytes(entry.bytes) for entry in entries).decode()
        assert choice.message.content.strip() in text


def test_it_streams_logprobs(client):
    stream = client.chat.completions.create(messages=MESSAGES, logprobs=True, top_logprobs=1, stream=True, **SHORT)
    choices = [choice for chunk in stream for choice in chunk.choices]
    spoken = [choice for choice in choices if choice.delta.content]
    assert spoken
    assert any(choice.logprobs and choice.logprobs.content for choice in spoken)


@pytest.mark.parametrize("stream", [False, True])
def test_errors_arrive_as_the_sdks_own(client, stream):
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="other", messages=MESSAGES, stream=stream)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=9, stream=stream)
    assert bad.value.param == "temperature"
    assert bad.value.request_id
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": TOO_LONG}], stream=stream)
    assert long.value.code == "context_length_exceeded"


def test_a_generative_model_makes_no_embeddings(client):
    with pytest.raises(openai.BadRequestError, match="embedding"):
        client.embeddings.create(model=MODEL, input="text")
