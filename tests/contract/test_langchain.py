"""LangChain: ChatOpenAI, which shows a trace through Responses alone, and ChatDeepSeek, which does in chat."""

from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.runnables import Runnable
from langchain_deepseek import ChatDeepSeek
from langchain_openai import ChatOpenAI
from langchain_openai.chat_models.base import BaseChatOpenAI

from tests.contract.cases import ASK_TOOL, CALL_TOKENS, EFFORT, MODEL, QUESTION, TOKENS, Forecast

COMMON = {"model": MODEL, "api_key": "none", "max_retries": 0, "temperature": 0}


@pytest.fixture
def chat_openai(recorder):
    return ChatOpenAI(base_url=recorder.url, reasoning_effort=EFFORT, stream_usage=True, max_tokens=TOKENS, **COMMON)


@pytest.fixture
def responses(recorder):
    thinking = {"effort": EFFORT, "summary": "auto"}
    return ChatOpenAI(
        base_url=recorder.url, use_responses_api=True, reasoning=thinking, max_tokens=CALL_TOKENS, **COMMON
    )


@pytest.fixture
def chat_deepseek(recorder):
    return ChatDeepSeek(api_base=recorder.url, reasoning_effort=EFFORT, max_tokens=TOKENS, **COMMON)


def calling(model: BaseChatOpenAI) -> Runnable[Any, Any]:
    return model.bind_tools([Forecast], tool_choice="required", parallel_tool_calls=False, max_tokens=CALL_TOKENS)


def collected(stream) -> AIMessageChunk:
    first, *rest = stream
    return sum(rest, first)


def test_chat_openai_answers_and_counts_the_trace(chat_openai):
    message = chat_openai.invoke(QUESTION)
    assert message.content
    assert message.usage_metadata["output_token_details"]["reasoning"] > 0


def test_chat_openai_streams(chat_openai):
    message = collected(chat_openai.stream(QUESTION))
    assert message.content == chat_openai.invoke(QUESTION).content
    assert message.usage_metadata["total_tokens"] > 0


async def test_chat_openai_streams_asynchronously(chat_openai):
    pieces = [piece.content async for piece in chat_openai.astream(QUESTION)]
    assert "".join(pieces)


def test_chat_openai_calls_a_tool(chat_openai):
    message = calling(chat_openai).invoke(ASK_TOOL)
    (call,) = message.tool_calls
    assert call["name"] == "Forecast"
    Forecast.model_validate(call["args"])


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_chat_openai_gives_a_structure(chat_openai, method):
    structured = chat_openai.with_structured_output(Forecast, method=method, max_tokens=CALL_TOKENS)
    assert isinstance(structured.invoke(ASK_TOOL), Forecast)


def test_chat_openai_gives_logprobs(chat_openai):
    message = chat_openai.bind(logprobs=True, top_logprobs=1).invoke(QUESTION)
    assert message.response_metadata["logprobs"]["content"]


def test_chat_deepseek_shows_trace_and_answer(chat_deepseek):
    message = chat_deepseek.invoke(QUESTION)
    assert message.content
    assert message.additional_kwargs["reasoning_content"]
    assert message.usage_metadata["input_token_details"]["cache_read"] >= 0


def test_chat_deepseek_streams_trace_and_answer(chat_deepseek):
    message = collected(chat_deepseek.stream(QUESTION))
    whole = chat_deepseek.invoke(QUESTION)
    assert message.content == whole.content
    assert message.additional_kwargs["reasoning_content"] == whole.additional_kwargs["reasoning_content"]


def test_chat_deepseek_calls_a_tool_and_reads_the_result(chat_deepseek):
    question = HumanMessage(ASK_TOOL)
    turn: AIMessage = calling(chat_deepseek).invoke([question])
    assert turn.additional_kwargs["reasoning_content"]
    (call,) = turn.tool_calls
    Forecast.model_validate(call["args"])
    result = ToolMessage("sun", tool_call_id=call["id"])
    assert chat_deepseek.invoke([question, turn, result]).content


def test_chat_deepseek_streams_a_call(chat_deepseek):
    (call,) = collected(calling(chat_deepseek).stream(ASK_TOOL)).tool_calls
    Forecast.model_validate(call["args"])


def test_chat_deepseek_gives_a_structure(chat_deepseek):
    structured = chat_deepseek.with_structured_output(Forecast, max_tokens=CALL_TOKENS)
    assert isinstance(structured.invoke(ASK_TOOL), Forecast)


def thought(message: AIMessage) -> str:
    return "".join(block["reasoning"] for block in message.content_blocks if block["type"] == "reasoning")


def test_responses_show_trace_and_answer(responses):
    message = responses.invoke(QUESTION)
    assert message.text
    assert thought(message)
    assert message.usage_metadata["output_token_details"]["reasoning"] > 0


def test_responses_stream_trace_and_answer(responses):
    message, whole = collected(responses.stream(QUESTION)), responses.invoke(QUESTION)
    assert (thought(message), message.text) == (thought(whole), whole.text)


@pytest.mark.parametrize("previous", [False, True], ids=["by its items", "by its id"])
def test_responses_call_a_tool_and_read_the_result(responses, recorder, previous):
    question = HumanMessage(ASK_TOOL)
    turn: AIMessage = calling(responses).invoke([question])
    (call,) = turn.tool_calls
    Forecast.model_validate(call["args"])
    result = ToolMessage("sun", tool_call_id=call["id"])
    again = responses.model_copy(update={"use_previous_response_id": previous})
    assert again.invoke([question, turn, result]).text
    assert ("previous_response_id" in recorder.last.body) == previous


def test_responses_stream_a_call(responses):
    (call,) = collected(calling(responses).stream(ASK_TOOL)).tool_calls
    Forecast.model_validate(call["args"])


def test_responses_give_a_structure(responses):
    structured = responses.with_structured_output(Forecast, method="json_schema")
    assert isinstance(structured.invoke(ASK_TOOL), Forecast)


@pytest.mark.parametrize("client", ["chat_openai", "chat_deepseek", "responses"])
def test_errors_arrive_as_those_of_the_openai_sdk(request, client):
    with pytest.raises(openai.NotFoundError):
        request.getfixturevalue(client).invoke(QUESTION, model="other")
