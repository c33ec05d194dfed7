import json

import pytest
import xgrammar
from fathom.core.errors import BadRequest
from fathom.core.generation import Structure
from fathom.engine.reasoning import Delimiter
from fathom.engine.structure import MAX_BYTES, MAX_CHOICES, MAX_DEPTH, TracePrefix, body, check_limits, structural_tag

POINT = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": False}
BY_TEXT = TracePrefix(Delimiter("</think>"), lead="\n\n")


class Follower:
    """Walks through a tag as vLLM does, token by token."""

    def __init__(self, tokenizer, tag):
        self.tokenizer = tokenizer
        info = xgrammar.TokenizerInfo.from_huggingface(tokenizer)
        compiled = xgrammar.GrammarCompiler(info, max_threads=1).compile_structural_tag(tag)
        self.matcher = xgrammar.GrammarMatcher(compiled)
        self.size = info.vocab_size

    def take(self, text):
        """True if every token of the text was allowed. Delimiters that are tokens are taken as tokens."""
        return all(self.matcher.accept_token(token) for token in self.tokenizer.encode(text, add_special_tokens=False))

    def spell(self, text):
        """The same, but one token a byte, so that no delimiter is taken as a token."""
        byte_tokens = self.tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
        pieces = [character for piece, _ in byte_tokens for character in piece]
        return all(self.matcher.accept_token(self.tokenizer.convert_tokens_to_ids(piece)) for piece in pieces)

    @property
    def may_end(self):
        return self.tokenizer.eos_token in self.allowed()

    def allowed(self):
        mask = xgrammar.allocate_token_bitmask(1, self.size)
        self.matcher.fill_next_token_bitmask(mask)
        words = mask[0].tolist()
        return {self.tokenizer.convert_ids_to_tokens(at) for at in range(self.size) if words[at // 32] >> (at % 32) & 1}


@pytest.fixture
def follow(tokenizer):
    def start(structure, prefix=None):
        check_limits(structure)
        return Follower(tokenizer, structural_tag(body(structure), prefix))

    return start


@pytest.fixture
def by_token(tokenizer):
    return TracePrefix(Delimiter("</think>", tokenizer.convert_tokens_to_ids("</think>")), lead="\n\n")


@pytest.mark.parametrize(
    ("structure", "answer", "wrong"),
    [
        (Structure("json_schema", POINT), '{"x": 1}', '{"x": "one"}'),
        (Structure("json_object"), '{"any": [1, null]}', "[1]"),
        (Structure("regex", "[a-z]+[0-9]"), "hello1", "hello world1"),
        (Structure("choice", ("yes", "no")), "no", "maybe"),
        (Structure("choice", ("only",)), "only", "other"),
        (Structure("grammar", 'root ::= "a" root | "b"'), "aab", "aac"),
        (Structure("structural_tag", {"format": {"type": "const_string", "value": "hi"}}), "hi", "ho"),
    ],
)
def test_every_kind_allows_what_matches_and_nothing_else(follow, structure, answer, wrong):
    right = follow(structure)
    assert right.take(answer)
    assert right.may_end
    other = follow(structure)
    assert not (other.take(wrong) and other.may_end)


def test_white_space_in_json_does_not_go_on_for_ever(follow):
    answer = follow(Structure("json_schema", POINT))
    assert answer.take('{ "x":\n1 }')
    assert not follow(Structure("json_schema", POINT)).spell('{  "x"')


def test_a_string_of_limited_length_cannot_hold_control_characters(follow):
    structure = Structure("json_schema", {"type": "string", "minLength": 1, "maxLength": 5})
    assert follow(structure).take('"hello"')
    assert not follow(structure).spell('"a\t')
    assert not follow(structure).spell('"hello ')


@pytest.mark.parametrize("spelled", [True, False])
def test_with_a_text_delimiter_the_answer_begins_behind_it_however_it_is_spelled(follow, spelled):
    turn = follow(Structure("json_schema", POINT), BY_TEXT)
    assert turn.take('so {"y"} </thi')
    assert not turn.may_end
    assert turn.spell("</think>") if spelled else turn.take("</think>")
    assert turn.take('\n\n{"x": 1}')
    assert turn.allowed() == {"<|im_end|>"}


def test_with_a_delimiter_token_its_spelling_belongs_to_the_trace(follow, by_token):
    turn = follow(Structure("json_schema", POINT), by_token)
    assert turn.spell("</think>\n\n")
    assert turn.take("more")
    assert not turn.may_end
    assert turn.take('</think>\n\n{"x": 1}')
    assert turn.allowed() == {"<|im_end|>"}


def test_behind_the_end_comes_the_lead_and_then_the_body(follow, by_token):
    turn = follow(Structure("json_schema", POINT), by_token)
    turn.take("</think>")
    assert turn.allowed() == {"Ċ"}
    turn.take("\n\n")
    assert turn.allowed() == {"{"}


def test_a_family_that_opens_its_trace_itself_opens_it_first(follow, tokenizer, by_token):
    opening = Delimiter("<think>", tokenizer.convert_tokens_to_ids("<think>"))
    turn = follow(Structure("choice", ("yes", "no")), TracePrefix(by_token.end, start=opening))
    assert turn.allowed() == {"<think>"}
    assert turn.take("<think>hm</think>yes")
    by_text = follow(Structure("choice", ("yes", "no")), TracePrefix(Delimiter("</think>"), start=Delimiter("<think>")))
    assert not by_text.take("hm")


def test_the_budget_ends_the_trace(follow, by_token):
    turn = follow(Structure("choice", ("yes",)), TracePrefix(by_token.end, budget=2))
    turn.take("hello")
    turn.take("hello")
    assert turn.allowed() == {"</think>"}
    by_text = follow(Structure("choice", ("yes",)), TracePrefix(Delimiter("</think>"), budget=0))
    assert by_text.allowed() == {"</think>", "<"}


@pytest.mark.parametrize("by_text", [True, False])
def test_excluded_tokens_have_no_place_in_the_trace(follow, by_token, by_text):
    end = Delimiter("</think>") if by_text else by_token.end
    turn = follow(Structure("json_object"), TracePrefix(end, excluded=(Delimiter("<|im_start|>", 0),)))
    assert turn.take("hello <")
    assert "<|im_start|>" not in turn.allowed()


def test_the_older_shape_of_structural_tags_still_works(follow):
    legacy = {"structures": [{"begin": "<f>", "schema": POINT, "end": "</f>"}], "triggers": ["<f>"]}
    assert follow(Structure("structural_tag", legacy)).take('see <f>{"x": 1}</f> and')
    assert not follow(Structure("structural_tag", legacy)).take('see <f>{"y"')


def nested(levels):
    value = {"type": "string"}
    for _ in range(levels - 1):
        value = {"anyOf": [value]} if levels % 2 else {"items": value, "type": "array"}
    return value


@pytest.mark.parametrize(
    ("structure", "says"),
    [
        (Structure("regex", ""), "empty"),
        (Structure("grammar", "  "), "empty"),
        (Structure("choice", ()), "at least one choice"),
        (Structure("choice", ("a", "")), "no choice may be empty"),
        (Structure("choice", ("a",) * (MAX_CHOICES + 1)), f"limit is {MAX_CHOICES}"),
        (Structure("regex", "a\0b"), "NUL"),
        (Structure("json_schema", {"enum": ["\ud800"]}), "surrogate"),
        (Structure("json_schema", {"const": float("nan")}), "finite"),
        (Structure("regex", "é" * MAX_BYTES), f"limit is {MAX_BYTES}"),
        (Structure("json_schema", nested(MAX_DEPTH + 1)), f"{MAX_DEPTH} levels"),
        (Structure("json_schema", nested(100_000)), f"{MAX_DEPTH} levels"),
        (Structure("structural_tag", {"format": []}), "not a structural tag"),
    ],
)
def test_the_limits_are_named(structure, says):
    with pytest.raises(BadRequest, match=says) as refused:
        check_limits(structure)
    assert refused.value.param == "response_format"


def test_what_is_at_the_limit_passes():
    check_limits(Structure("json_schema", nested(MAX_DEPTH)))
    check_limits(Structure("choice", ("a",) * MAX_CHOICES))
    check_limits(Structure("regex", "a" * (MAX_BYTES - 2)))


def test_a_tag_is_plain_json_whatever_characters_it_holds():
    tag = structural_tag(body(Structure("choice", ("é😀\n",))), BY_TEXT)
    assert tag.isascii()
    assert json.loads(tag)["format"]["elements"][-1]["elements"][0]["value"] == "é😀\n"
