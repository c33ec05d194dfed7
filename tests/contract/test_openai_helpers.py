"""The openai SDK's helpers for Python: tools, `parse` with a pydantic model, and the events of `stream`."""

import json

import openai
import pytest

from tests.contract.cases import ASK_TOOL, CALL_TOKENS, EFFORT, MODEL, NAMED, TOOL, Forecast

ASK = [{"role": "user", "content": ASK_TOOL}]
SHORT = {"model": MODEL, "max_completion_tokens": CALL_TOKENS, "reasoning_effort": EFFORT, "temperature": 0}
CALLING = {"tools": [TOOL], "parallel_tool_calls": False, **SHORT}


@pytest.fixture
def client(recorder):
    with openai.OpenAI(base_url=recorder.url, api_key="none", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("choice", ["required", NAMED], ids=["required", "named"])
def test_a_call_has_valid_arguments(client, choice):
    completion = client.chat.completions.create(messages=ASK, tool_choice=choice, **CALLING)
    message = completion.choices[0].message
    assert completion.choices[0].finish_reason == "tool_calls"
    assert message.reasoning_content
    (call,) = message.tool_calls
    assert call.function.name == "forecast"
    Forecast.model_validate_json(call.function.arguments)


def test_a_call_streams(client):
    stream = client.chat.completions.create(messages=ASK, tool_choice="required", stream=True, **CALLING)
    deltas = [choice.delta for chunk in stream for choice in chunk.choices]
    pieces = [call for delta in deltas for call in delta.tool_calls or []]
    assert pieces[0].id
    assert pieces[0].function.name == "forecast"
    Forecast.model_validate_json("".join(piece.function.arguments or "" for piece in pieces))
    assert any(getattr(delta, "reasoning_content", None) for delta in deltas)


def test_the_answer_to_a_call_is_read(client):
    first = client.chat.completions.create(messages=ASK, tool_choice="required", **CALLING)
    turn = first.choices[0].message
    result = {"role": "tool", "tool_call_id": turn.tool_calls[0].id, "content": json.dumps({"weather": "sun"})}
    before = client.chat.completions.create(
        messages=ASK, tool_choice="none", **(CALLING | {"max_completion_tokens": 1})
    )
    last = client.chat.completions.create(messages=[*ASK, turn, result], tool_choice="none", **CALLING)
    assert last.choices[0].message.content
    assert last.choices[0].message.tool_calls is None
    assert last.usage.prompt_tokens > before.usage.prompt_tokens


def test_parse_gives_an_instance_of_the_model(client):
    completion = client.chat.completions.parse(messages=ASK, response_format=Forecast, **SHORT)
    assert isinstance(completion.choices[0].message.parsed, Forecast)
    assert completion.choices[0].message.reasoning_content


def test_parse_gives_the_arguments_of_a_call(client):
    tool = openai.pydantic_function_tool(Forecast, name="forecast")
    completion = client.chat.completions.parse(messages=ASK, tool_choice="required", **(CALLING | {"tools": [tool]}))
    (call,) = completion.choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, Forecast)


def test_the_events_of_a_stream_lead_to_an_instance_of_the_model(client):
    with client.chat.completions.stream(
        messages=ASK, response_format=Forecast, stream_options={"include_usage": True}, **SHORT
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    kinds = [event.type for event in events]
    assert kinds.index("content.delta") < kinds.index("content.done")
    (done,) = (event for event in events if event.type == "content.done")
    assert isinstance(done.parsed, Forecast)
    assert final.choices[0].message.parsed == done.parsed
    assert final.choices[0].message.reasoning_content
    assert final.usage.total_tokens > 0


def test_the_events_of_a_stream_tell_of_a_call(client):
    tool = openai.pydantic_function_tool(Forecast, name="forecast")
    with client.chat.completions.stream(
        messages=ASK, tool_choice="required", **(CALLING | {"tools": [tool]})
    ) as stream:
        events = list(stream)
    (done,) = (event for event in events if event.type == "tool_calls.function.arguments.done")
    assert done.name == "forecast"
    assert isinstance(done.parsed_arguments, Forecast)
    pieces = [event.arguments_delta for event in events if event.type == "tool_calls.function.arguments.delta"]
    assert "".join(pieces) == done.arguments


async def test_the_async_client_parses_and_calls(recorder):
    async with openai.AsyncOpenAI(base_url=recorder.url, api_key="none", max_retries=0) as client:
        parsed = await client.chat.completions.parse(messages=ASK, response_format=Forecast, **SHORT)
        async with client.chat.completions.stream(messages=ASK, tool_choice=NAMED, **CALLING) as stream:
            final = await stream.get_final_completion()
    assert isinstance(parsed.choices[0].message.parsed, Forecast)
    Forecast.model_validate_json(final.choices[0].message.tool_calls[0].function.arguments)


def test_a_reply_that_was_cut_is_the_sdks_own_error(client):
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(
            messages=ASK, response_format=Forecast, **(SHORT | {"max_completion_tokens": 3, "reasoning_effort": "none"})
        )
