"""The openai SDK for Python on the legacy route: text, token ids, echo, choices, logprobs."""

import openai
import pytest

from tests.contract.cases import MODEL

PROMPT = "The sky is"
SHORT = {"model": MODEL, "max_tokens": 8, "temperature": 0}


@pytest.fixture
def client(recorder):
    with openai.OpenAI(base_url=recorder.url, api_key="none", max_retries=0) as client:
        yield client


def test_it_continues_text(client):
    completion = client.completions.create(prompt=PROMPT, **SHORT)
    assert completion.choices[0].text
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.completion_tokens == 8


def test_it_says_the_prompt_back(client):
    (choice,) = client.completions.create(prompt=PROMPT, echo=True, **SHORT).choices
    assert choice.text.startswith(PROMPT)
    assert len(choice.text) > len(PROMPT)


def test_several_prompts_and_choices_are_numbered(client):
    completion = client.completions.create(prompt=[PROMPT, "Two and two"], n=2, **SHORT)
    assert [choice.index for choice in completion.choices] == [0, 1, 2, 3]
    texts = [choice.text for choice in completion.choices]
    assert texts[0] == texts[1]
    assert texts[2] == texts[3]


def test_token_ids_are_a_prompt(client):
    assert client.completions.create(prompt=[504, 2901, 314], **SHORT).choices[0].text
    assert len(client.completions.create(prompt=[[504, 2901], [314]], **SHORT).choices) == 2


def test_logprobs_come_in_columns(client):
    (choice,) = client.completions.create(prompt=PROMPT, logprobs=2, **SHORT).choices
    assert "".join(choice.logprobs.tokens) == choice.text
    assert all(logprob <= 0 for logprob in choice.logprobs.token_logprobs)
    assert all(len(top) >= 2 for top in choice.logprobs.top_logprobs)
    assert choice.logprobs.text_offset[0] == 0


def test_echoed_logprobs_begin_without_one(client):
    (choice,) = client.completions.create(prompt=PROMPT, echo=True, logprobs=1, **SHORT).choices
    assert choice.logprobs.token_logprobs[0] is None
    assert all(logprob <= 0 for logprob in choice.logprobs.token_logprobs[1:])


def test_it_streams_text(client):
    chunks = list(client.completions.create(prompt=PROMPT, stream=True, **SHORT))
    whole = client.completions.create(prompt=PROMPT, **SHORT).choices[0].text
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole


async def test_the_async_client_streams_text(recorder):
    async with openai.AsyncOpenAI(base_url=recorder.url, api_key="none", max_retries=0) as client:
        stream = await client.completions.create(prompt=PROMPT, stream=True, **SHORT)
        assert "".join([chunk.choices[0].text async for chunk in stream])


def test_best_of_is_refused_with_the_reason(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(prompt=PROMPT, best_of=3, **SHORT)
    assert refused.value.param == "best_of"
