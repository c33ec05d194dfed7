"""A stream and a whole completion are made from the same events and say the same."""

import json

from fathom.api.openai.chat.schemas import ChatRequest
from fathom.api.openai.chat.stream import ChatStream
from fathom.api.openai.chat.translate import TRACE_KEYS, to_completion
from fathom.core.events import (
    Accepted,
    Finished,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    Tokens,
    ToolCallDelta,
    ToolCallStart,
)
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.sampled_from(["a", "é🐍", '"quoted" \\', "\n", "<think>", "\u2028", "{}"])
LOGPROB = TokenLogprob(7, "é".encode()[:1], -0.5, (TokenLogprob(7, b"\xc3", -0.5), TokenLogprob(8, b"x", -1.25)))


@st.composite
def choice(draw: st.DrawFn, at: int) -> list:
    """A trace, then text and calls, then the end; pieces as an engine gives them."""
    logprobs = (LOGPROB,) * draw(st.integers(0, 2))
    events: list = [Tokens((1, 2), at)] if draw(st.booleans()) else []
    events += [ReasoningDelta(text, at, logprobs) for text in draw(st.lists(TEXT, max_size=3))]
    events += [TextDelta(text, at, logprobs) for text in draw(st.lists(TEXT, max_size=3))]
    for call in range(draw(st.integers(0, 2))):
        events.append(ToolCallStart(call, f"call_{at}{call}", "f"))
        events += [ToolCallDelta(call, piece) for piece in draw(st.lists(TEXT, max_size=3))]
    events = [
        e if not isinstance(e, ToolCallStart | ToolCallDelta) else type(e)(**_fields(e), choice=at) for e in events
    ]
    reasoning = draw(st.integers(0, 3))
    return [*events, Finished("stop", 5, 9, 3, reasoning, draw(st.booleans()), choice=at)]


def _fields(event) -> dict:
    return {name: getattr(event, name) for name in event.__slots__ if name != "choice"}


@st.composite
def interleaved(draw: st.DrawFn, n: int) -> list:
    streams = [draw(choice(at)) for at in range(n)]
    events: list = [Accepted(5, (1, 2, 3))]
    while any(streams):
        stream = draw(st.sampled_from([each for each in streams if each]))
        events.append(stream.pop(0))
    return events


async def played(events: list):
    for event in events:
        yield event


def fold(chunks: list[dict], n: int) -> list[dict]:
    """The choices that a client puts together from chunks."""
    whole: list[dict] = [{"message": {}, "content": [], "trace": [], "ids": []} for _ in range(n)]
    for chunk in chunks:
        for part in chunk["choices"]:
            mine, delta = whole[part["index"]], part["delta"]
            for key in delta.keys() - {"role", "tool_calls"}:
                mine["message"][key] = mine["message"].get(key, "") + delta[key]
            for call in delta.get("tool_calls", ()):
                calls = mine["message"].setdefault("tool_calls", [])
                if "id" in call:
                    calls.append({**call, "function": dict(call["function"])})
                else:
                    calls[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
            mine["content"] += (part["logprobs"] or {}).get("content") or []
            mine["trace"] += (part["logprobs"] or {}).get("reasoning_content") or []
            mine["ids"] += part.get("token_ids", [])
            mine |= {key: part[key] for key in ("finish_reason", "reasoning_finish_reason") if part.get(key)}
    return whole


@given(st.data(), st.integers(1, 3), st.booleans(), st.sampled_from(list(TRACE_KEYS)))
async def test_a_stream_and_a_whole_completion_say_the_same(data, n, hidden, fields):
    events = data.draw(interleaved(n))
    body = ChatRequest(
        model="m",
        messages=[{"role": "user", "content": "x"}],
        n=n,
        logprobs=True,
        top_logprobs=2,
        return_token_ids=True,
        include_reasoning=not hidden,
        stream_options={"include_usage": True},
    )
    frames = b"".join([frame async for frame in ChatStream(body, "id", fields).frames(played(events))])
    lines = [line.removeprefix("data: ") for line in frames.decode().split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    completion = await to_completion(played(events), body, "id", fields)
    assert chunks[0]["prompt_token_ids"] == [1, 2, 3]
    assert list(completion["prompt_token_ids"]) == [1, 2, 3]
    assert chunks[-1]["usage"] == completion["usage"]
    for streamed, choice in zip(fold(chunks, n), completion["choices"], strict=True):
        message = choice["message"]
        for key in ("content", "reasoning", "reasoning_content"):
            assert streamed["message"].get(key, "") == (message.get(key) or "")
        calls = [{**call, "index": at} for at, call in enumerate(message.get("tool_calls", []))]
        assert streamed["message"].get("tool_calls", []) == calls
        assert streamed["content"] == (choice["logprobs"]["content"] or [])
        assert streamed["trace"] == choice["logprobs"].get("reasoning_content", [])
        assert streamed["ids"] == choice["token_ids"]
        assert streamed["finish_reason"] == choice["finish_reason"]
        assert streamed.get("reasoning_finish_reason") == choice.get("reasoning_finish_reason")


@given(st.data(), st.sampled_from(list(TRACE_KEYS)))
async def test_trace_and_answer_never_share_a_chunk(data, fields):
    body = ChatRequest(model="m", messages=[{"role": "user", "content": "x"}])
    stream = ChatStream(body, "id", fields)
    async for frame in stream.frames(played(data.draw(interleaved(1)))):
        for line in frame.decode().split("\n\n"):
            if line.startswith("data: {"):
                delta = json.loads(line[6:])["choices"][0]["delta"]
                assert not ("content" in delta and delta.keys() & {"reasoning", "reasoning_content"})
