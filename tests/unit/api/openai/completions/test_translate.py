import json
from collections.abc import AsyncGenerator, Sequence

import pytest
from fathom.api.openai.completions.schemas import CompletionRequest
from fathom.api.openai.completions.translate import CompletionStream, to_completion, to_generations
from fathom.core.errors import BadRequest
from fathom.core.events import Accepted, Echo, Event, Finished, TextDelta, TokenLogprob, Tokens
from hypothesis import given
from hypothesis import strategies as st

from tests.openai_schema import check_text_completion
from tests.openai_stream import check_text_stream, read_events
from tests.schemas.published import Json

LISTS = ("tokens", "token_logprobs", "top_logprobs", "text_offset")

texts = st.text(min_size=1, max_size=5)
logprobs = st.builds(
    TokenLogprob,
    st.integers(0, 9),
    st.one_of(st.binary(min_size=1, max_size=3), texts.map(str.encode)),
    st.floats(max_value=0),
    st.lists(st.builds(TokenLogprob, st.integers(0, 9), st.binary(max_size=2), st.floats(-9, 0)), max_size=2).map(
        tuple
    ),
)


@st.composite
def scripts(draw, prompts: int, n: int) -> list[list[Event]]:
    """For each prompt, what an engine may say."""
    return [draw(one_script(n)) for _ in range(prompts)]


@st.composite
def one_script(draw, n: int) -> list[Event]:
    said = draw(st.lists(st.tuples(st.integers(0, n - 1), texts, st.lists(logprobs, max_size=3)), max_size=8))
    events: list[Event] = [Accepted(5, (1, 2))]
    if draw(st.booleans()):
        events.append(Echo(draw(texts), (TokenLogprob(1, b"x", None),)))
    for choice, text, told in said:
        events.append(Tokens(tuple(each.token_id for each in told), choice))
        if draw(st.booleans()):
            events.append(TextDelta(text, choice, tuple(told)))
    return events + [Finished(draw(st.sampled_from(["stop", "length"])), 5, 3, choice=at) for at in range(n)]


async def play(events: Sequence[Event | Exception]) -> AsyncGenerator[Event]:
    for event in events:
        if isinstance(event, Exception):
            raise event
        yield event


def joined(chunks: list[Json]) -> list[Json]:
    """The choices of a stream, in the shape of a whole completion's."""
    choices: dict[int, Json] = {}
    for [step] in (chunk["choices"] for chunk in chunks if chunk["choices"]):
        choice = choices.setdefault(step["index"], step)
        if choice is step:
            continue
        choice["text"] += step["text"]
        choice["finish_reason"] = step["finish_reason"]
        choice.get("token_ids", []).extend(step.get("token_ids", []))
        for name in LISTS if step["logprobs"] else ():
            choice["logprobs"][name] += step["logprobs"][name]
    return [choices[index] for index in sorted(choices)]


async def both(body: CompletionRequest, plays: Sequence[Sequence[Event | Exception]]) -> tuple[Json, list[Json]]:
    """The whole completion and the chunks of the streamed one."""
    prompts = len(plays)
    completion = await to_completion([play(each) for each in plays], body, "cmpl-1")
    stream = CompletionStream(body, "cmpl-1", prompts)
    frames = [frame async for frame in stream.frames([play(each) for each in plays])]
    return json.loads(json.dumps(completion)), read_events(b"".join(frames).decode())


def request(**fields: object) -> CompletionRequest:
    return CompletionRequest(model="m", prompt="x", stream_options={"include_usage": True}, **fields)


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 3)).flatmap(lambda size: st.tuples(st.just(size[1]), scripts(*size))),
    st.sampled_from([None, 0, 2]),
    st.booleans(),
)
async def test_a_stream_and_the_whole_say_the_same(script, told, ids):
    n, plays = script
    completion, chunks = await both(request(n=n, logprobs=told, return_token_ids=ids), plays)
    check_text_completion(completion)
    check_text_stream(chunks)
    assert joined(chunks) == completion["choices"]
    assert chunks[-1]["usage"] == completion["usage"]
    assert completion["usage"]["prompt_tokens"] == 5 * len(plays)
    assert completion["usage"]["completion_tokens"] == 3 * n * len(plays)


async def test_nothing_leaves_before_every_prompt_is_accepted():
    plays = [[Accepted(1), TextDelta("a"), Finished("stop", 1, 1)], [BadRequest("too long", param="prompt.7")]]
    frames = CompletionStream(request(), "cmpl-1", 2).frames([play(each) for each in plays])
    with pytest.raises(BadRequest, match="too long") as raised:
        await anext(frames)
    assert raised.value.param == "prompt.1.7"


async def test_a_stream_that_lacks_an_end_does_not_look_complete():
    frames = CompletionStream(request(n=2), "cmpl-1", 1).frames([play([Accepted(1), Finished("stop", 1, 1)])])
    sent = [await anext(frames), await anext(frames)]
    with pytest.raises(AssertionError, match="Finished"):
        await anext(frames)
    assert not any(b"[DONE]" in frame for frame in sent)


def test_every_prompt_is_a_request_of_its_own():
    body = CompletionRequest(model="m", prompt=["a", "b"], n=3, echo=True, logprobs=2)
    requests = to_generations(body, "cmpl-1", None, fills=False)
    assert [(each.id, each.n, each.echo) for each in requests] == [("cmpl-1-0", 3, True), ("cmpl-1-1", 3, True)]
    assert requests[0].sampling.logprobs == 2
