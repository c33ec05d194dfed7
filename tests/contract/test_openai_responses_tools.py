"""The official openai SDK for Python: tools in Responses, and what of a turn goes back into the next."""

import json

import openai
import pytest

from tests.contract.cases import ASK_TOOL, CALL_TOKENS, EFFORT, FUNCTION, MODEL, QUESTION, Forecast

SHORT = {"model": MODEL, "max_output_tokens": CALL_TOKENS, "reasoning": {"effort": EFFORT}, "temperature": 0}
CALLING = {**SHORT, "tools": [FUNCTION], "tool_choice": "required", "parallel_tool_calls": False}
SEALED = {"store": False, "include": ["reasoning.encrypted_content"]}


@pytest.fixture
def client(recorder):
    with openai.OpenAI(base_url=recorder.url, api_key="none", max_retries=0) as client:
        yield client


def items(response, kind) -> list:
    return [item for item in response.output if item.type == kind]


def test_the_events_of_a_stream_tell_of_a_call(client):
    tool = openai.pydantic_function_tool(Forecast, name="forecast")
    with client.responses.stream(input=ASK_TOOL, **(CALLING | {"tools": [tool]})) as stream:
        events = list(stream)
        (call,) = items(stream.get_final_response(), "function_call")
    pieces = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    assert "".join(pieces) == call.arguments
    assert isinstance(call.parsed_arguments, Forecast)


@pytest.mark.parametrize(
    "choice",
    [
        "required",
        {"type": "function", "name": "forecast"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "forecast"}]},
    ],
    ids=["required", "named", "allowed"],
)
def test_a_tool_goes_round_through_previous_response_id(client, choice):
    first = client.responses.create(input=ASK_TOOL, **(CALLING | {"tool_choice": choice}))
    (call,) = items(first, "function_call")
    Forecast.model_validate_json(call.arguments)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": json.dumps({"weather": "sun"})}
    second = client.responses.create(
        input=[result], previous_response_id=first.id, **(CALLING | {"tool_choice": "none"})
    )
    assert second.previous_response_id == first.id
    assert second.output_text
    read = client.responses.input_items.list(second.id, order="asc")
    assert [item.type for item in read] == ["message", "reasoning", "function_call", "function_call_output"]


def test_a_tool_goes_round_through_its_own_items(client):
    first = client.responses.create(input=ASK_TOOL, **CALLING)
    (call,) = items(first, "function_call")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sun"}
    asked = [{"role": "user", "content": ASK_TOOL}, *first.output, result]
    second = client.responses.create(input=asked, **(CALLING | {"tool_choice": "none"}))
    assert second.output_text


def test_a_sealed_trace_is_replayed_without_a_store(client):
    first = client.responses.create(input=ASK_TOOL, **SEALED, **CALLING)
    (reasoning,), (call,) = items(first, "reasoning"), items(first, "function_call")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sun"}
    sealed = {"type": "reasoning", "summary": [], "encrypted_content": reasoning.encrypted_content, "id": reasoning.id}
    plain = [{"role": "user", "content": ASK_TOOL}, call, result]
    again = [plain[0], sealed, *plain[1:]]
    settings = CALLING | SEALED | {"tool_choice": "none"}
    with_trace, without = (client.responses.create(input=each, **settings) for each in (again, plain))
    assert with_trace.usage.input_tokens > without.usage.input_tokens
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


def test_a_seal_that_is_not_ours_is_refused(client):
    foreign = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAABo"}
    with pytest.raises(openai.BadRequestError, match="not sealed by this server") as refused:
        client.responses.create(input=[foreign, {"role": "user", "content": QUESTION}], **SHORT)
    assert refused.value.param == "input.0.encrypted_content"
