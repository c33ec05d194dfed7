"""The official openai SDK for Python: Responses in the foreground, and their errors."""

import openai
import pytest

from tests.contract.cases import ASK_TOOL, CALL_TOKENS, EFFORT, MODEL, QUESTION, TOKENS, TOO_LONG, Forecast

SHORT = {"model": MODEL, "max_output_tokens": TOKENS, "reasoning": {"effort": EFFORT}, "temperature": 0}
STRUCTURED = SHORT | {"max_output_tokens": CALL_TOKENS}


@pytest.fixture
def client(recorder):
    with openai.OpenAI(base_url=recorder.url, api_key="none", max_retries=0) as client:
        yield client


def items(response, kind) -> list:
    return [item for item in response.output if item.type == kind]


def trace_of(response) -> str:
    (item,) = items(response, "reasoning")
    return item.content[0].text


def test_it_creates_a_response_with_a_trace(client):
    response = client.responses.create(input=QUESTION, **SHORT)
    assert response.output_text
    assert trace_of(response)
    assert response.usage.output_tokens_details.reasoning_tokens > 0
    assert response.reasoning.effort == EFFORT
    assert response._request_id


def test_instructions_are_read(client):
    texts = ("Answer.", "Answer in French, and in French alone.")
    plain, told = (client.responses.create(input=QUESTION, instructions=text, **SHORT) for text in texts)
    assert told.usage.input_tokens > plain.usage.input_tokens
    assert told.instructions == texts[1]


def test_it_streams_what_it_creates(client):
    whole = client.responses.create(input=QUESTION, **SHORT)
    events = list(client.responses.create(input=QUESTION, stream=True, **SHORT))
    trace = "".join(event.delta for event in events if event.type == "response.reasoning_text.delta")
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert (trace, text) == (trace_of(whole), whole.output_text)
    assert events[-1].response.usage.total_tokens == whole.usage.total_tokens


def test_a_summary_is_given_when_asked(client):
    asked = SHORT | {"reasoning": {"effort": EFFORT, "summary": "auto"}}
    events = list(client.responses.create(input=QUESTION, stream=True, **asked))
    summary = "".join(event.delta for event in events if event.type == "response.reasoning_summary_text.delta")
    assert summary == trace_of(events[-1].response)


@pytest.mark.parametrize("reasoning", [{"effort": "none"}, {"max_tokens": 0}], ids=["effort", "budget"])
def test_thinking_can_be_turned_off(client, reasoning):
    response = client.responses.create(input=QUESTION, **(SHORT | {"reasoning": reasoning}))
    assert response.output_text
    assert not items(response, "reasoning")
    assert response.usage.output_tokens_details.reasoning_tokens == 0


def test_a_budget_bounds_the_trace(client):
    response = client.responses.create(input=QUESTION, **(SHORT | {"reasoning": {"max_tokens": 8}}))
    assert 0 < response.usage.output_tokens_details.reasoning_tokens < TOKENS
    assert response.output_text


def test_a_trace_that_is_cut_makes_an_incomplete_response(client):
    long = SHORT | {"reasoning": {"max_tokens": 1000}, "max_output_tokens": 16}
    response = client.responses.create(input=QUESTION, **long)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert [(item.type, item.status) for item in response.output] == [("reasoning", "incomplete")]
    assert response.output_text == ""


def test_it_gives_logprobs(client):
    asked = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    response = client.responses.create(input=QUESTION, **asked, **SHORT)
    (message,) = items(response, "message")
    entries = message.content[0].logprobs
    assert all(entry.logprob <= 0 and len(entry.top_logprobs) == 2 for entry in entries)
    assert response.output_text.strip() in b"".join(bytes(entry.bytes) for entry in entries).decode()


def test_parse_gives_an_instance_of_the_model(client):
    response = client.responses.parse(input=ASK_TOOL, text_format=Forecast, **STRUCTURED)
    assert response.status == "completed"
    assert isinstance(response.output_parsed, Forecast)
    assert trace_of(response)


def test_the_events_of_a_stream_lead_to_an_instance_of_the_model(client):
    with client.responses.stream(input=ASK_TOOL, text_format=Forecast, **STRUCTURED) as stream:
        events = list(stream)
        final = stream.get_final_response()
    (done,) = (event for event in events if event.type == "response.output_text.done")
    assert isinstance(done.parsed, Forecast)
    assert final.output_parsed == done.parsed
    snapshots = [event.snapshot for event in events if event.type == "response.output_text.delta"]
    assert snapshots[-1] == final.output_text
    assert trace_of(final)


def test_tokens_are_counted_before_they_are_used(client):
    counted = client.responses.input_tokens.count(model=MODEL, input=QUESTION, reasoning={"effort": EFFORT})
    response = client.responses.create(input=QUESTION, **SHORT)
    assert counted.input_tokens == response.usage.input_tokens


def test_raw_responses_show_the_headers(client):
    raw = client.responses.with_raw_response.create(input=QUESTION, **SHORT)
    assert raw.request_id == raw.headers["x-request-id"]
    assert float(raw.headers["openai-processing-ms"]) > 0
    assert raw.parse().output_text


async def test_the_async_client_creates_streams_and_parses(recorder):
    async with openai.AsyncOpenAI(base_url=recorder.url, api_key="none", max_retries=0) as client:
        whole = await client.responses.create(input=QUESTION, **SHORT)
        stream = await client.responses.create(input=QUESTION, stream=True, **SHORT)
        pieces = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        async with client.responses.stream(input=ASK_TOOL, text_format=Forecast, **STRUCTURED) as helper:
            final = await helper.get_final_response()
    assert "".join(pieces) == whole.output_text
    assert isinstance(final.output_parsed, Forecast)


@pytest.mark.parametrize("stream", [False, True])
def test_errors_arrive_as_the_sdks_own(client, stream):
    with pytest.raises(openai.NotFoundError) as missing:
        client.responses.create(model="other", input=QUESTION, stream=stream)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad:
        client.responses.create(model=MODEL, input=QUESTION, temperature=9, stream=stream)
    assert bad.value.param == "temperature"
    assert bad.value.request_id
    with pytest.raises(openai.BadRequestError) as long:
        client.responses.create(model=MODEL, input=TOO_LONG, stream=stream)
    assert long.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"previous_response_id": "resp_missing"}, "previous_response_id"),
        ({"background": True, "store": False}, "background"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(client, fields, param):
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(input=QUESTION, **fields, **SHORT)
    assert refused.value.param.startswith(param)
