"""The official openai SDK for Python: Responses that are kept, run in the background, and followed again."""

import time

import openai
import pytest

from tests.contract.cases import MODEL, QUESTION, TOKENS

SHORT = {"model": MODEL, "max_output_tokens": TOKENS, "reasoning": {"effort": "minimal"}, "temperature": 0}
LONG = SHORT | {"max_output_tokens": 160}
ENDED = ("completed", "incomplete", "failed", "cancelled")
TEXTS = ("response.reasoning_text.delta", "response.output_text.delta")


@pytest.fixture
def client(recorder):
    with openai.OpenAI(base_url=recorder.url, api_key="none", max_retries=0) as client:
        yield client


def waited_for(client, response, seconds=60):
    """The response once it has ended, by polling as OpenAI's guide does."""
    deadline = time.monotonic() + seconds
    while response.status not in ENDED:
        assert time.monotonic() < deadline, f"still {response.status}"
        time.sleep(0.2)
        response = client.responses.retrieve(response.id)
    return response


def text_of(events) -> str:
    return "".join(event.delta for event in events if event.type in TEXTS)


def trace_and_answer(response) -> str:
    return "".join(part.text for item in response.output for part in item.content)


def cut(client, after: int):
    """A background stream that the client leaves once it has seen some events."""
    seen = []
    with client.responses.create(input=QUESTION, background=True, stream=True, **LONG) as stream:
        for event in stream:
            seen.append(event)
            if len(seen) > after:
                return seen
    raise AssertionError("it ended first")


def test_a_response_is_retrieved_as_it_was_created(client):
    created = client.responses.create(input=QUESTION, metadata={"kind": "test"}, **SHORT)
    assert client.responses.retrieve(created.id).to_dict() == created.to_dict()


def test_a_response_that_is_not_stored_is_not_found(client):
    created = client.responses.create(input=QUESTION, store=False, **SHORT)
    with pytest.raises(openai.NotFoundError) as missing:
        client.responses.retrieve(created.id)
    assert missing.value.request_id


def test_a_deleted_response_is_gone(client):
    created = client.responses.create(input=QUESTION, **SHORT)
    client.responses.delete(created.id)
    for ask in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(openai.NotFoundError):
            ask(created.id)


def test_a_conversation_does_not_go_on_from_a_deleted_response(client):
    first = client.responses.create(input=QUESTION, **SHORT)
    second = client.responses.create(input="And at night?", previous_response_id=first.id, **SHORT)
    client.responses.delete(first.id)
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(input="Why?", previous_response_id=second.id, **SHORT)
    assert refused.value.param == "previous_response_id"


def test_input_items_are_paged(client):
    first = client.responses.create(input=QUESTION, **SHORT)
    asked = [{"role": "user", "content": text} for text in ("And at night?", "And at noon?")]
    second = client.responses.create(input=asked, previous_response_id=first.id, **SHORT)
    items = list(client.responses.input_items.list(second.id, limit=2, order="asc"))
    assert [item.type for item in items] == ["message", *(item.type for item in first.output), "message", "message"]
    texts = [item.content[0].text for item in items if item.type == "message"]
    assert texts == [QUESTION, first.output_text, *(each["content"] for each in asked)]
    backwards = list(client.responses.input_items.list(second.id, limit=2))
    assert [item.id for item in backwards] == [item.id for item in items][::-1]


def test_an_item_may_be_referred_to(client):
    first = client.responses.create(input=QUESTION, **SHORT)
    (asked,) = client.responses.input_items.list(first.id)
    references = [{"type": "item_reference", "id": item.id} for item in (asked, *first.output)]
    more = {"role": "user", "content": "And at night?"}
    by_reference = client.responses.create(input=[*references, more], **SHORT)
    by_id = client.responses.create(input=[more], previous_response_id=first.id, **SHORT)
    assert by_reference.usage.input_tokens == by_id.usage.input_tokens
    assert by_reference.output_text == by_id.output_text


def test_a_background_response_is_polled_to_its_end(client):
    begun = client.responses.create(input=QUESTION, background=True, **SHORT)
    assert begun.status in ("queued", "in_progress")
    ended = waited_for(client, begun)
    assert ended.background
    assert ended.output_text == client.responses.create(input=QUESTION, **SHORT).output_text


def test_a_background_response_is_cancelled(client):
    begun = client.responses.create(input=QUESTION, background=True, **(LONG | {"max_output_tokens": 2000}))
    cancelled = client.responses.cancel(begun.id)
    assert cancelled.status == "cancelled"
    assert client.responses.retrieve(begun.id).status == "cancelled"
    assert client.responses.cancel(begun.id).status == "cancelled"


def test_cancelling_ends_a_stream(client):
    with client.responses.create(
        input=QUESTION, background=True, stream=True, **(LONG | {"max_output_tokens": 2000})
    ) as stream:
        events = []
        for event in stream:
            events.append(event)
            if event.type == TEXTS[0] and text_of(events[:-1]) == "":
                client.responses.cancel(events[0].response.id)
    assert events[-1].type == "response.cancelled"
    assert client.responses.retrieve(events[0].response.id).status == "cancelled"


def test_a_response_in_the_foreground_cannot_be_cancelled(client):
    created = client.responses.create(input=QUESTION, **SHORT)
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(created.id)


@pytest.mark.parametrize("after", [0, 20])
def test_a_stream_that_was_cut_is_taken_up_while_it_runs(client, after):
    seen = cut(client, after)
    rest = list(client.responses.retrieve(seen[0].response.id, stream=True, starting_after=seen[-1].sequence_number))
    assert [event.sequence_number for event in [*seen, *rest]] == list(range(len(seen) + len(rest)))
    final = rest[-1].response
    assert text_of([*seen, *rest]) == trace_and_answer(final)
    assert final.output_text == client.responses.create(input=QUESTION, **LONG).output_text


@pytest.mark.parametrize("after", [0, 20])
def test_a_stream_that_was_cut_is_taken_up_after_its_end(client, after):
    seen = cut(client, after)
    ended = waited_for(client, seen[0].response)
    rest = list(client.responses.retrieve(ended.id, stream=True, starting_after=seen[-1].sequence_number))
    assert [event.sequence_number for event in [*seen, *rest]] == list(range(len(seen) + len(rest)))
    assert rest[-1].response.to_dict() == ended.to_dict()
    assert text_of([*seen, *rest]) == trace_and_answer(ended)


def test_a_foreground_stream_is_told_again_from_its_start(client):
    told = list(client.responses.create(input=QUESTION, stream=True, **SHORT))
    again = list(client.responses.retrieve(told[0].response.id, stream=True))
    assert [event.to_dict() for event in again] == [event.to_dict() for event in told]


def test_two_readers_follow_one_response(client):
    begun = client.responses.create(input=QUESTION, background=True, **LONG)
    one, other = (client.responses.retrieve(begun.id, stream=True) for _ in range(2))
    first = [event.to_dict() for event in one]
    assert [event.to_dict() for event in other] == first


def test_the_helper_of_the_sdk_follows_a_background_response(client):
    asked = SHORT | {"text": {"format": {"type": "json_object"}}, "max_output_tokens": 400}
    with client.responses.stream(input="Reply with {}.", background=True, **asked) as stream:
        first = next(iter(stream))
    with client.responses.stream(response_id=first.response.id, starting_after=1) as again:
        numbers = [event.sequence_number for event in again]
    assert numbers == list(range(2, len(numbers) + 2))


async def test_the_async_client_takes_a_stream_up(recorder):
    async with openai.AsyncOpenAI(base_url=recorder.url, api_key="none", max_retries=0) as client:
        stream = await client.responses.create(input=QUESTION, background=True, stream=True, **LONG)
        seen = [await anext(stream) for _ in range(6)]
        await stream.close()
        last = seen[-1].sequence_number
        rest = await client.responses.retrieve(seen[0].response.id, stream=True, starting_after=last)
        events = [*seen, *[event async for event in rest]]
    assert text_of(events) == trace_and_answer(events[-1].response)
