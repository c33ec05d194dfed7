"""Whatever a model writes and however its tokens come, the message is the same, and nothing leaks into it."""

import json
from functools import cache

import pytest
from fathom.core.events import Finished, Piece, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStart
from fathom.core.generation import Sampling, Tool
from fathom.engine.detokenizer import Detokenizer, TokenBytes
from fathom.engine.reader import TurnReader
from fathom.engine.reasoning import Delimiter, ReasoningMachine
from fathom.engine.tool_parsers import find_parser
from fathom.engine.tools import ToolReader
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken

from tests.tokenizers import small_tokenizer

TOOLS = [Tool("find", parameters={"type": "object"})]
PIECES = [
    *("<think>", "</think>", "<thi", "nk>", "</th", "</", "<", "think>"),
    *("<tool_call>", "</tool_call>", '{"name": "find", "arguments": {"é": 1}}', '{"name": ', "<tool", "_call>"),
    *("STOP", "ST", "OP", "word", " ", "\n", "\n\n", "🐍", "é", "日本"),
]
CALL = '<tool_call>\n{"name": "find", "arguments": {"n": 4}}\n</tool_call>'


@cache
def tokenizer(delimiters_are_tokens: bool):
    made = small_tokenizer()
    if delimiters_are_tokens:
        tools = [AddedToken(text, normalized=False, special=False) for text in ("<tool_call>", "</tool_call>")]
        made.backend_tokenizer.add_tokens(tools)
    return made


def spelled(text: str, delimiters_are_tokens: bool) -> list[int]:
    """Token ids of a text; without delimiter tokens, spelled out byte by byte."""
    made = tokenizer(delimiters_are_tokens)
    if delimiters_are_tokens:
        return made.encode(text, add_special_tokens=False)
    cut = "".join(char + "\ufdd0" for char in text).split("\ufdd0")
    return [each for char in cut for each in made.encode(char, add_special_tokens=False)]


def reader(thinking: bool, tokens: bool, *, stop=("STOP",), logprobs: int | None = None) -> TurnReader:
    made = tokenizer(tokens)
    ids = made.convert_tokens_to_ids
    start, end = (Delimiter(text, ids(text) if tokens else None) for text in ("<think>", "</think>"))
    return TurnReader(
        Detokenizer(TokenBytes(made.backend_tokenizer), [5], skip_special_tokens=False),
        TokenBytes(made.backend_tokenizer),
        machine=ReasoningMachine(start, end, thinking=thinking),
        calls=ToolReader(find_parser("hermes", made), made, TOOLS),
        sampling=Sampling(stop=stop, logprobs=logprobs),
    )


def message(events: list[Piece | Finished]) -> dict:
    """What a client makes of them; ids of calls are drawn anew each time."""
    calls: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, ToolCallStart):
            calls[event.call] = [event.name, ""]
        elif isinstance(event, ToolCallDelta):
            calls[event.call][1] += event.arguments
    return {
        "trace": "".join(event.text for event in events if isinstance(event, ReasoningDelta)),
        "content": "".join(event.text for event in events if isinstance(event, TextDelta)),
        "calls": calls,
        "reason": next(event.reason for event in events if isinstance(event, Finished)),
    }


def read(turn: TurnReader, ids: list[int], cuts: list[int], reason: str) -> list:
    events: list = []
    for begin, end in zip([0, *cuts], [*cuts, len(ids)], strict=True):
        if not turn.stopped:
            events += turn.read(ids[begin:end])
    return [*events, *turn.finish(reason, 1)]


OUTPUTS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


@pytest.mark.parametrize("tokens", [True, False])
@settings(max_examples=60)
@given(OUTPUTS, st.booleans(), st.sampled_from(["stop", "length"]), st.data())
def test_however_tokens_are_bundled_the_message_is_the_same(tokens, text, thinking, reason, data):
    ids = spelled(text, tokens)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(ids)), max_size=5)))
    one_by_one = read(reader(thinking, tokens), ids, list(range(1, len(ids))), reason)
    bundled = read(reader(thinking, tokens), ids, cuts, reason)
    assert message(one_by_one) == message(bundled)


@pytest.mark.parametrize("tokens", [True, False])
@settings(max_examples=60)
@given(OUTPUTS, st.booleans(), st.sampled_from(["stop", "length"]))
def test_no_delimiter_and_no_stop_string_is_in_the_content(tokens, text, thinking, reason):
    found = message(read(reader(thinking, tokens), spelled(text, tokens), [], reason))
    for leak in ("<think>", "</think>", "STOP"):
        assert leak not in found["content"]


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["word", " ", "é", "<", "🐍\n"]), max_size=6).map("".join), st.booleans())
def test_a_call_behind_a_trace_is_one_and_a_draft_in_the_trace_is_none(noise, tokens):
    text = f"{noise}{CALL}</think>{CALL}"
    found = message(read(reader(True, tokens), spelled(text, tokens), [], "stop"))
    assert {name: json.loads(arguments) for name, arguments in found["calls"].values()} == {"find": {"n": 4}}
    assert found["reason"] == "tool_calls"
    assert found["content"] == ""
    assert "tool_call" in found["trace"]
