import json
import re

import pytest
from fathom.core.events import TextDelta, ToolCallDelta, ToolCallStart
from fathom.core.generation import Tool
from fathom.engine.detokenizer import Detokenizer, TokenBytes
from fathom.engine.tool_parsers import find_parser
from fathom.engine.tools import ToolReader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.engine.tool_families import DEEPSEEK, WRITERS, hermes, tool_tokenizer, without_special

ORDINARY = 5
FIND = {"properties": {"é": {"type": "string"}, "n": {"type": "integer"}, "deep": {"type": "object"}}}
TOOLS = [Tool("get_weather", parameters={"type": "object"}), Tool("find", parameters={"type": "object"} | FIND)]

SPECIAL_PIECE = re.compile("(" + "|".join(map(re.escape, [*DEEPSEEK, "<|python_tag|>"])) + ")")


@pytest.fixture(scope="module")
def tokenizer():
    return tool_tokenizer()


scalars = st.none() | st.booleans() | st.integers(-99, 99) | st.text('ab "\\{}[]<>/é漢🙂\n', max_size=6)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ké"), inner, max_size=2)
)
arguments = st.dictionaries(st.text("abé", min_size=1), values, max_size=3)
calls = st.lists(st.tuples(st.sampled_from(["get_weather", "find"]), arguments), max_size=3)
prose = st.lists(st.sampled_from(["Let me", " look", " a < b", " <tool", " </", " é漢", "\n", "  ", " [1]", "🙂"])).map(
    "".join
)


def split(text, cuts):
    """Token texts of at most eight characters: cut at some places, and around every special token."""
    places = sorted({cut % (len(text) + 1) for cut in cuts} | set(range(0, len(text), 8)))
    for piece in SPECIAL_PIECE.split(text):
        if SPECIAL_PIECE.fullmatch(piece):
            yield piece
            continue
        here = [place for place in places if place < len(piece)]
        yield from (piece[start:end] for start, end in zip([0, *here], [*here, len(piece)], strict=True))


def read(name, tokenizer, pieces, *, cut=False, parallel=True):
    """Content, calls as (name, arguments), and the single pieces."""
    reader = ToolReader(find_parser(name, tokenizer), tokenizer, TOOLS, parallel=parallel)
    ids = tokenizer.get_added_vocab()
    given = [one for piece in pieces for one in reader.feed(piece, ids.get(piece, ORDINARY))] + reader.finish(cut=cut)
    return gather(given)


def gather(pieces):
    """The message that a client makes of the pieces; fails where they are not in order."""
    content, calls, ids = "", [], set()
    for piece in pieces:
        if isinstance(piece, TextDelta):
            assert piece.text
            content += piece.text
        elif isinstance(piece, ToolCallStart):
            assert piece.call == len(calls)
            assert re.fullmatch("call_[0-9a-f]{24}", piece.id)
            ids.add(piece.id)
            calls.append([piece.name, ""])
        else:
            assert isinstance(piece, ToolCallDelta)
            assert piece.arguments
            calls[piece.call][1] += piece.arguments
    assert len(ids) == len(calls)
    return content, [tuple(call) for call in calls], pieces


def parsed(calls):
    return [(name, json.loads(arguments)) for name, arguments in calls]


relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.mark.parametrize("family", ["hermes", "deepseek_v31", "llama3_json"])
@given(prose, calls, st.lists(st.integers(0, 400), max_size=30))
@relaxed
def test_the_pieces_of_any_split_are_the_message(family, tokenizer, text, made, cuts):
    spelled = [(name, json.dumps(value, ensure_ascii=False)) for name, value in made]
    whole = WRITERS[family](text, spelled)
    content, got, _ = read(family, tokenizer, split(whole, cuts))
    assert parsed(got) == made
    if not made:
        assert content == text
    elif family != "llama3_json":
        assert content == text.rstrip()


GARBAGE = [
    "<tool_call>",
    "</tool_call>",
    '{"name": "find", ',
    '"arguments": ',
    '{"a": [1',
    "}",
    "]}",
    '"',
    "\\",
    "x ",
    "é🙂",
]


broken = st.lists(st.sampled_from([*GARBAGE, *DEEPSEEK, "<|python_tag|>"]), max_size=12)


@pytest.mark.parametrize("family", ["hermes", "llama3_json"])
@given(broken)
@relaxed
def test_broken_markup_without_a_call_is_text(family, tokenizer, pieces):
    content, got, _ = read(family, tokenizer, pieces)
    assert got or content == without_special("".join(pieces))


@pytest.mark.parametrize("family", WRITERS)
@given(broken, st.booleans())
@relaxed
def test_broken_markup_never_fails(family, tokenizer, pieces, cut):
    content, got, _ = read(family, tokenizer, pieces, cut=cut)
    assert content or got or cut or not without_special("".join(pieces))


@pytest.mark.parametrize("family", WRITERS)
def test_a_family_through_its_real_tokens(family, tokenizer):
    made = [
        ("find", {"é": "漢 🙂", "n": 12, "deep": {"x": [1, {"y": None}]}}),
        ("get_weather", {}),
        ("find", {"é": "a"}),
    ]
    whole = WRITERS[family](
        "Let me look 🙂.\n\n", [(name, json.dumps(value, ensure_ascii=False)) for name, value in made]
    )
    reader = ToolReader(find_parser(family, tokenizer), tokenizer, TOOLS)
    detokenizer = Detokenizer(TokenBytes(tokenizer.backend_tokenizer), [0], skip_special_tokens=False)
    ids = tokenizer.encode(whole, add_special_tokens=False)
    pieces = [one for token in ids for one in reader.feed(detokenizer.step(token), token)]
    streamed = len(pieces)
    content, got, pieces = gather(pieces + reader.finish(cut=False))
    assert parsed(got) == made
    assert content == ("" if family == "llama3_json" else "Let me look 🙂.")
    assert streamed > 0.9 * len(pieces)


def chopped(text):
    return [text[at : at + 3] for at in range(0, len(text), 3)]


def test_a_call_streams_while_it_is_written(tokenizer):
    reader = ToolReader(find_parser("hermes", tokenizer), tokenizer, TOOLS)
    given = [reader.feed(piece, ORDINARY) for piece in chopped(hermes("", [("find", '{"é": "a long story"}')]))]
    arguments = [piece for pieces in given for piece in pieces if isinstance(piece, ToolCallDelta)]
    assert len(arguments) > 5
    assert reader.calls == 1


@pytest.mark.parametrize("text", ["Is a <tool", "a <tool_call", "x </", "1 <", "{", '{"answer": 42}', "plain\n\n"])
@pytest.mark.parametrize("family", ["hermes", "deepseek_v31", "llama3_json", "mistral", "qwen3_coder"])
def test_text_that_only_looks_like_a_call_is_text(family, text, tokenizer):
    assert read(family, tokenizer, chopped(text))[:2] == (text, [])


@pytest.mark.parametrize("text", ["Is a <tool", '<tool_call>\n{"na'])
def test_half_markup_at_a_cut_is_not_leaked(text, tokenizer):
    content, calls, _ = read("hermes", tokenizer, chopped(text), cut=True)
    assert not calls
    assert "<" not in content


def test_an_answer_in_json_survives_a_cut(tokenizer):
    assert read("llama3_json", tokenizer, chopped('{"answer": [1, 2'), cut=True)[0] == '{"answer": [1, 2'


def test_a_call_that_was_cut_stays_half(tokenizer):
    text = hermes("", [("find", '{"a": 1}'), ("find", '{"a": "unfin')]).removesuffix("}\n</tool_call>")
    _, calls, _ = read("hermes", tokenizer, chopped(text), cut=True)
    assert calls == [("find", '{"a": 1}'), ("find", '{"a": "unfin')]


def test_a_call_that_ends_early_by_itself_is_closed(tokenizer):
    _, calls, _ = read("hermes", tokenizer, chopped('<tool_call>\n{"name": "find", "arguments": {"a": ["b'))
    assert parsed(calls) == [("find", {"a": ["b"]})]


def test_a_call_without_arguments_has_an_empty_object(tokenizer):
    _, calls, _ = read("hermes", tokenizer, chopped('<tool_call>\n{"name": "find"}\n</tool_call>'))
    assert parsed(calls) == [("find", {})]


def test_arguments_over_several_lines_are_whole_where_the_parser_stops_at_the_first(tokenizer):
    pretty = json.dumps({"a": {"b": [1, 2]}}, indent=2)
    whole = WRITERS["deepseek_v31"]("", [("find", pretty)])
    assert parsed(read("deepseek_v31", tokenizer, split(whole, []))[1]) == [("find", {"a": {"b": [1, 2]}})]


def test_a_closing_tag_inside_of_a_string_does_not_end_the_call(tokenizer):
    made = {"a": "</tool_call> and", "b": 1}
    content, calls, _ = read("hermes", tokenizer, chopped(hermes("", [("find", json.dumps(made))])))
    assert (content, parsed(calls)) == ("", [("find", made)])


def test_long_arguments_come_in_larger_and_larger_pieces(tokenizer):
    made = {"a": "word " * 2000}
    _, calls, pieces = read("hermes", tokenizer, chopped(hermes("", [("find", json.dumps(made))])))
    assert parsed(calls) == [("find", made)]
    assert len(pieces[1].arguments) <= 3
    assert len(pieces[-2].arguments) > 400
    assert len(pieces) < 900


def test_a_call_in_the_middle_of_text_is_found_at_the_end(tokenizer):
    text = 'Sure: {"name": "find", "parameters": {"a": 1}}'
    assert parsed(read("llama3_json", tokenizer, chopped(text))[1]) == [("find", {"a": 1})]


def test_json_in_text_that_names_no_tool_is_no_call(tokenizer):
    text = 'Like {"name": "Anna", "parameters": {"a": 1}}'
    assert read("llama3_json", tokenizer, chopped(text))[:2] == (text, [])


def test_without_parallel_calls_only_the_first_is_given(tokenizer):
    whole = hermes("", [("find", "{}"), ("get_weather", '{"a": 1}')])
    assert read("hermes", tokenizer, chopped(whole), parallel=False)[1] == [("find", "{}")]


def test_special_tokens_that_are_no_markup_are_dropped(tokenizer):
    assert read("hermes", tokenizer, ["Hi", "<|im_start|>", " there"])[0] == "Hi there"


def test_a_parser_that_cannot_stream_gives_the_message_at_the_end(tokenizer):
    assert read("openai", tokenizer, chopped("Hello there"))[:2] == ("Hello there", [])
