"""The official anthropic SDK for Python: thinking, streams and their helpers, tools, counting, errors."""

import asyncio
from typing import Any

import anthropic
import pytest

from tests.contract.cases import (
    ASK_TOOL,
    CALL_TOKENS,
    MESSAGES,
    MODEL,
    PARAMETERS,
    QUESTION,
    TOKENS,
    TOO_LONG,
    Forecast,
)

BUDGET = 8
GREEDY = {"temperature": 0}  # the SDK has no parameter for it any more
SHORT: dict[str, Any] = {
    "model": MODEL,
    "messages": MESSAGES,
    "max_tokens": TOKENS,
    "thinking": {"type": "enabled", "budget_tokens": BUDGET},
    "extra_body": GREEDY,
}
PLAIN: dict[str, Any] = {**SHORT, "thinking": {"type": "disabled"}}
TOOL = {"name": "forecast", "description": "The weather of the next days.", "input_schema": PARAMETERS}
ASKED = {"role": "user", "content": ASK_TOOL}


@pytest.fixture
def client(recorder):
    with anthropic.Anthropic(base_url=recorder.url.removesuffix("/v1"), api_key="none", max_retries=0) as client:
        yield client


def test_it_gets_a_message_with_a_signed_trace(client):
    message = client.messages.create(**SHORT)
    thinking, text = message.content
    assert thinking.type == "thinking"
    assert thinking.thinking
    assert thinking.signature
    assert text.text
    assert message.usage.output_tokens_details.thinking_tokens > 0
    assert message.usage.input_tokens + message.usage.cache_read_input_tokens > 0
    assert message._request_id


def test_a_budget_bounds_the_trace_and_an_answer_follows(client):
    message = client.messages.create(**SHORT)
    assert message.usage.output_tokens_details.thinking_tokens <= BUDGET + 3  # its end is three tokens
    assert message.content[-1].type == "text"


def test_thinking_can_be_turned_off(client):
    message = client.messages.create(**PLAIN)
    assert [block.type for block in message.content] == ["text"]
    assert message.usage.output_tokens_details.thinking_tokens == 0


def test_a_trace_that_takes_all_tokens_is_the_only_block(client):
    message = client.messages.create(**SHORT | {"thinking": {"type": "enabled", "budget_tokens": TOKENS}})
    assert [block.type for block in message.content] == ["thinking"]
    assert message.stop_reason == "max_tokens"


def test_the_stream_helper_tells_thinking_and_text_apart(client):
    kinds = []
    with client.messages.stream(**SHORT) as stream:
        for event in stream:
            kinds.append(event.type)  # noqa: PERF401 - as people write it
        final = stream.get_final_message()
    kept = [kind for kind in kinds if kind in ("thinking", "signature", "text")]
    assert kept == sorted(kept, key=("thinking", "signature", "text").index)
    assert kept.count("signature") == 1
    assert kinds[-1] == "message_stop"
    whole = client.messages.create(**SHORT)
    assert final.content[0].thinking == whole.content[0].thinking
    assert final.content[0].signature == whole.content[0].signature
    assert final.content[1].text == whole.content[1].text
    assert (final.stop_reason, final.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)


def test_the_stream_of_text_is_the_answer(client):
    with client.messages.stream(**SHORT) as stream:
        text = "".join(stream.text_stream)
    assert text == client.messages.create(**SHORT).content[1].text


def test_raw_events_come_in_order(client):
    kinds = [event.type for event in client.messages.create(stream=True, **PLAIN)]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


async def test_the_async_client_streams_twice_at_once(recorder):
    url = recorder.url.removesuffix("/v1")
    async with anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0) as client:

        async def ask() -> str:
            async with client.messages.stream(**SHORT) as stream:
                return (await stream.get_final_message()).content[0].thinking

        first, second = await asyncio.gather(ask(), ask())
    assert first == second


def test_signed_blocks_can_be_sent_back(client):
    first = client.messages.create(**SHORT)
    turns = [*MESSAGES, first.to_param(), {"role": "user", "content": "And at night?"}]
    assert client.messages.create(**SHORT | {"messages": turns}).content


def test_a_trace_that_was_changed_is_refused_where_it_is(client):
    content = [block.to_dict() for block in client.messages.create(**SHORT).content]
    content[0]["thinking"] += " Not."
    turns = [*MESSAGES, {"role": "assistant", "content": content}, {"role": "user", "content": "And at night?"}]
    with pytest.raises(anthropic.BadRequestError, match=r"messages\.1\.content\.0: .*signature"):
        client.messages.create(**SHORT | {"messages": turns})


def test_an_omitted_trace_is_still_the_models_when_it_is_sent_back(client):
    seen = client.messages.create(**SHORT)
    omitted = {**SHORT["thinking"], "display": "omitted"}
    hidden = client.messages.create(**SHORT | {"thinking": omitted})
    assert hidden.content[0].thinking == ""
    assert hidden.content[1].text == seen.content[1].text
    with client.messages.stream(**SHORT | {"thinking": omitted}) as stream:
        assert "thinking" not in [event.type for event in stream]

    def counted(block: Any) -> int:
        """Its trace is continued, and so is in the prompt."""
        turns = [*MESSAGES, {"role": "assistant", "content": [block.to_dict()]}]
        return client.messages.count_tokens(model=MODEL, messages=turns).input_tokens

    assert counted(hidden.content[0]) == counted(seen.content[0])


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called_and_its_result_is_read(client, stream):
    asking = PLAIN | {"max_tokens": CALL_TOKENS, "tools": [TOOL], "messages": [ASKED]}
    forced = {"tool_choice": {"type": "tool", "name": "forecast"}}
    if stream:
        with client.messages.stream(**asking, **forced) as events:
            inputs = [event.partial_json for event in events if event.type == "input_json"]
            message = events.get_final_message()
        assert "".join(inputs)
    else:
        message = client.messages.create(**asking, **forced)
    call = message.content[-1]
    assert message.stop_reason == "tool_use"
    assert call.name == "forecast"
    Forecast.model_validate(call.input)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "Sunny."}]}
    turns = [ASKED, message.to_param(), {"role": "user", "content": [result]}]
    answer = client.messages.create(**asking | {"messages": turns})
    assert answer.content


def test_a_model_thinks_before_a_call_and_its_trace_goes_back_with_the_result(client):
    asking = SHORT | {"max_tokens": CALL_TOKENS, "tools": [TOOL], "messages": [ASKED]}
    message = client.messages.create(**asking, tool_choice={"type": "any", "disable_parallel_tool_use": True})
    assert [block.type for block in message.content] == ["thinking", "tool_use"]
    result = {"type": "tool_result", "tool_use_id": message.content[1].id, "content": "no data", "is_error": True}

    def counted(*blocks: Any) -> int:
        turns = [ASKED, {"role": "assistant", "content": list(blocks)}, {"role": "user", "content": [result]}]
        return client.messages.count_tokens(model=MODEL, messages=turns, tools=[TOOL]).input_tokens

    assert counted(*message.content) > counted(message.content[1])


def test_an_answer_is_parsed_into_a_model_of_the_clients(client):
    asking = PLAIN | {"max_tokens": CALL_TOKENS, "messages": [ASKED]}
    assert client.messages.parse(**asking, output_format=Forecast).parsed_output.city in ("Paris", "Rome")


def test_tokens_are_counted_as_they_are_used(client):
    counted = client.messages.count_tokens(
        model=MODEL, messages=MESSAGES, system="Be brief.", thinking=PLAIN["thinking"]
    )
    usage = client.messages.create(**PLAIN, system="Be brief.").usage
    assert counted.input_tokens == usage.input_tokens + usage.cache_read_input_tokens


def test_a_stop_sequence_ends_the_answer_and_is_told(client):
    text = client.messages.create(**PLAIN).content[0].text
    stop = text.split()[2]
    message = client.messages.create(**PLAIN, stop_sequences=["@@@", stop])
    assert message.stop_reason == "stop_sequence"
    assert message.stop_sequence == stop
    assert message.content[0].text == text[: text.index(stop)]


def test_a_last_message_of_the_assistant_is_continued(client):
    begun = {"role": "assistant", "content": "The sky is blue because"}
    message = client.messages.create(**PLAIN | {"messages": [*MESSAGES, begun]})
    assert not message.content[0].text.startswith("The sky is blue because")
    assert QUESTION not in message.content[0].text


@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_the_sdks_own(client, stream):
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.messages.create(**SHORT | {"model": "other"}, stream=stream)
    assert missing.value.type == "not_found_error"
    with pytest.raises(anthropic.BadRequestError, match="temperature") as bad:
        client.messages.create(**SHORT | {"extra_body": {"temperature": 9}}, stream=stream)
    assert bad.value.type == "invalid_request_error"
    assert bad.value.request_id
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
        client.messages.create(**SHORT | {"messages": [{"role": "user", "content": TOO_LONG}]}, stream=stream)
    search = {"type": "web_search_20250305", "name": "web_search"}
    with pytest.raises(anthropic.BadRequestError, match="web_search"):
        client.messages.create(**SHORT, tools=[search], stream=stream)


def test_a_stream_that_is_left_ends_the_request(client):
    with client.messages.stream(**SHORT | {"max_tokens": 500}) as stream:
        next(iter(stream.text_stream))
