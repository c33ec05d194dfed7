"""Pydantic AI, over chat and over Responses: thinking parts, structured output in both of its ways, and tools."""

from dataclasses import dataclass

import pytest
from openai import AsyncOpenAI
from pydantic_ai import Agent, ModelHTTPError, NativeOutput, TextPart, ThinkingPart, ToolCallPart
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.contract.cases import ASK_TOOL, CALL_TOKENS, EFFORT, MODEL, QUESTION, TOKENS, Forecast

SETTINGS = {
    "max_tokens": CALL_TOKENS,
    "temperature": 0,
    "openai_reasoning_effort": EFFORT,
    "openai_reasoning_summary": "auto",  # of Responses: what is shown of a trace
    "parallel_tool_calls": False,
}
SHORT = {"max_tokens": TOKENS}


@pytest.fixture
async def client(recorder):
    async with AsyncOpenAI(base_url=recorder.url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(params=[OpenAIChatModel, OpenAIResponsesModel], ids=["chat", "responses"])
def model(request, client):
    return request.param(MODEL, provider=OpenAIProvider(openai_client=client), settings=SETTINGS)


@dataclass
class CallsFirst(AbstractCapability):
    """Makes the model call a tool in its first step, and answer in the next."""

    def get_model_settings(self):
        return lambda context: {"tool_choice": "required" if context.run_step == 1 else "none"}


def parts(messages, kind) -> list:
    return [part for message in messages for part in message.parts if isinstance(part, kind)]


async def test_it_shows_trace_and_answer(model):
    result = await Agent(model, model_settings=SHORT).run(QUESTION)
    assert result.output
    (thinking,) = parts(result.new_messages(), ThinkingPart)
    assert thinking.content
    assert result.usage.details["reasoning_tokens"] > 0


async def test_it_streams_trace_and_answer(model):
    async with Agent(model, model_settings=SHORT).run_stream(QUESTION) as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
    assert len(pieces) > 1
    assert parts(result.new_messages(), ThinkingPart)[0].content
    (text,) = parts(result.new_messages(), TextPart)
    assert "".join(pieces).strip() == text.content.strip()


@pytest.mark.parametrize("output", [Forecast, NativeOutput(Forecast)], ids=["by a tool", "by a format"])
async def test_it_gives_a_structure(model, output):
    result = await Agent(model, output_type=output).run(ASK_TOOL)
    assert isinstance(result.output, Forecast)
    assert parts(result.new_messages(), ThinkingPart)


async def test_its_tool_is_called_and_the_result_read(model):
    asked = []
    agent = Agent(model, capabilities=[CallsFirst()])

    @agent.tool_plain
    def forecast(request: Forecast) -> str:
        """The weather of the next days."""
        asked.append(request)
        return "sun"

    result = await agent.run(ASK_TOOL)
    assert all(isinstance(request, Forecast) for request in asked)
    assert len(asked) == len(parts(result.new_messages(), ToolCallPart)) >= 1
    assert result.output


@pytest.mark.parametrize("kind", [OpenAIChatModel, OpenAIResponsesModel])
async def test_errors_arrive_as_its_own(client, kind):
    model = kind("other", provider=OpenAIProvider(openai_client=client))
    with pytest.raises(ModelHTTPError) as missing:
        await Agent(model).run(QUESTION)
    assert missing.value.status_code == 404
