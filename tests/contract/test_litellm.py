"""LiteLLM through its three ways to a server of this kind."""

import litellm
import pytest

from tests.contract.cases import ASK_TOOL, CALL_TOKENS, EFFORT, MESSAGES, MODEL, NAMED, TOKENS, TOOL, Forecast

ASK = [{"role": "user", "content": ASK_TOOL}]
THINKING = {"extra_body": {"reasoning_effort": EFFORT}}
CALLING = {"tools": [TOOL], "parallel_tool_calls": False, "max_tokens": CALL_TOKENS}
PROVIDERS = ["openai", "hosted_vllm", "deepseek"]


@pytest.fixture
def complete(recorder):
    def complete(provider, messages, **fields):
        short = {"max_tokens": TOKENS, "temperature": 0, "num_retries": 0, "max_retries": 0}
        target = {"model": f"{provider}/{MODEL}", "api_base": recorder.url, "api_key": "none"}
        return litellm.completion(messages=messages, **(target | short | fields))

    return complete


@pytest.mark.parametrize("provider", PROVIDERS)
def test_it_shows_trace_and_answer(complete, provider):
    completion = complete(provider, MESSAGES, **THINKING)
    assert completion.choices[0].message.content
    assert completion.choices[0].message.reasoning_content
    assert completion.usage.completion_tokens_details.reasoning_tokens > 0


@pytest.mark.parametrize("provider", PROVIDERS)
def test_it_streams_trace_and_answer(complete, provider):
    deltas = [chunk.choices[0].delta for chunk in complete(provider, MESSAGES, stream=True, **THINKING)]
    whole = complete(provider, MESSAGES, **THINKING).choices[0].message
    trace = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert trace == whole.reasoning_content
    assert "".join(delta.content or "" for delta in deltas) == whole.content


@pytest.mark.parametrize("provider", PROVIDERS)
def test_it_calls_a_tool(complete, provider):
    choice = complete(provider, ASK, tool_choice=NAMED, **CALLING, **THINKING).choices[0]
    assert choice.finish_reason == "tool_calls"
    Forecast.model_validate_json(choice.message.tool_calls[0].function.arguments)


def test_it_streams_a_call(complete):
    chunks = list(complete("openai", ASK, tool_choice="required", stream=True, **CALLING, **THINKING))
    whole = litellm.stream_chunk_builder(chunks)
    Forecast.model_validate_json(whole.choices[0].message.tool_calls[0].function.arguments)


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm"])
def test_it_gives_a_structure(complete, provider):
    completion = complete(provider, ASK, response_format=Forecast, max_tokens=CALL_TOKENS, **THINKING)
    Forecast.model_validate_json(completion.choices[0].message.content)


async def test_it_answers_asynchronously(recorder):
    target = {"model": f"openai/{MODEL}", "api_base": recorder.url, "api_key": "none", "max_tokens": TOKENS}
    completion = await litellm.acompletion(messages=MESSAGES, **target, **THINKING)
    assert completion.choices[0].message.reasoning_content


def test_errors_arrive_as_its_own(complete):
    with pytest.raises(litellm.NotFoundError):
        complete("openai", MESSAGES, model="openai/other")
    with pytest.raises(litellm.BadRequestError, match="temperature"):
        complete("openai", MESSAGES, temperature=9)
