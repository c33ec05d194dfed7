"""The official openai SDK for Python against the embedded model on a real engine."""

import openai
import pytest

from tests.running import Server

MESSAGES = [{"role": "user", "content": "Why is the sky blue?"}]


@pytest.fixture
def client(server: Server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_it_lists_and_retrieves_the_model(client):
    models = list(client.models.list())
    assert [model.id for model in models] == ["smollm2-135m"]
    assert client.models.retrieve("smollm2-135m").object == "model"


def test_it_gets_a_completion_with_a_trace(client):
    completion = client.chat.completions.create(model="smollm2-135m", messages=MESSAGES, max_tokens=120)
    message = completion.choices[0].message
    assert message.content
    assert message.reasoning_content
    assert completion.usage.completion_tokens_details.reasoning_tokens > 0
    assert completion._request_id


def test_it_streams_the_trace_and_then_the_answer(client):
    kinds = ""
    usage = None
    stream = client.chat.completions.create(
        model="smollm2-135m", messages=MESSAGES, max_tokens=120, stream=True, stream_options={"include_usage": True}
    )
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            kinds += "r" if getattr(choice.delta, "reasoning_content", None) else "c" if choice.delta.content else ""
    assert kinds.startswith("r")
    assert kinds.rstrip("c").endswith("r")
    assert usage.completion_tokens == 120


async def test_the_async_client_streams(server: Server):
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="smollm2-135m", messages=MESSAGES, max_tokens=20, stream=True
        )
        chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "length"


def test_errors_arrive_as_the_sdks_own(client):
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="other", messages=MESSAGES)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model="smollm2-135m", messages=MESSAGES, temperature=9)
    assert bad.value.param == "temperature"
