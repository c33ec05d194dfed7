import json

import pytest
import xgrammar
from fathom.core.generation import Tool
from fathom.engine.tool_grammar import call_body, grammar_parser
from vllm.tool_parsers import ToolParserManager

from tests.unit.engine.tool_families import WRITERS, hermes, tool_tokenizer

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [Tool("get_weather", parameters=CITY), Tool("now")]
GOOD = ("get_weather", '{"city": "Łódź"}')
NATIVE = ["hermes", "deepseek_v3", "deepseek_v31", "llama3_json", "kimi_k2"]


@pytest.fixture(scope="module")
def compiler():
    return xgrammar.GrammarCompiler(xgrammar.TokenizerInfo.from_huggingface(tool_tokenizer()))


@pytest.fixture
def accepts(compiler):
    """Whether a text is a whole answer under a body."""

    def accept(body, text):
        grammar = compiler.compile_structural_tag(json.dumps({"type": "structural_tag", "format": body}))
        matcher = xgrammar.GrammarMatcher(grammar, terminate_without_stop_token=True)
        return matcher.accept_string(text) and matcher.is_completed()

    return accept


@pytest.mark.parametrize("family", NATIVE)
def test_required_calls_are_written_as_the_family_writes_them(family, accepts):
    body = call_body(family, TOOLS, "required", True)
    assert grammar_parser(family, "required") == family
    assert accepts(body, WRITERS[family]("", [GOOD]))
    assert accepts(body, WRITERS[family]("", [("now", "{}")]))


@pytest.mark.parametrize("family", NATIVE)
def test_required_leaves_no_room_for_anything_else(family, accepts):
    body = call_body(family, TOOLS, "required", True)
    for wrong in [("get_weather", '{"city": 1}'), ("get_weather", "{}"), ("now", '{"a": 1}'), ("other", "{}")]:
        assert not accepts(body, WRITERS[family]("", [wrong]))
    assert not accepts(body, "It rains.")
    assert not accepts(body, WRITERS[family]("", [GOOD]) + " It rains.")


@pytest.mark.parametrize("family", ["deepseek_v3", "deepseek_v31", "llama3_json", "kimi_k2"])
def test_two_calls_need_parallel(family, accepts):
    two = WRITERS[family]("", [GOOD, GOOD])
    assert accepts(call_body(family, TOOLS, "required", True), two)
    assert not accepts(call_body(family, TOOLS, "required", False), two)


@pytest.mark.parametrize("family", ["mistral", "qwen3_coder", "openai", "kimi_k3", "pythonic"])
def test_a_family_without_a_fit_grammar_is_made_to_call_like_hermes(family, accepts):
    assert grammar_parser(family, "required") == "hermes"
    assert accepts(call_body(family, TOOLS, "required", False), hermes("", [GOOD]))


@pytest.mark.parametrize("family", ["mistral", "qwen3_coder", "hermes"])
def test_a_free_model_is_read_by_its_own_parser(family):
    assert grammar_parser(family, "auto") == family


def test_blanks_between_the_parts_of_json_are_bounded(accepts):
    body = call_body("hermes", TOOLS, "required", False)
    assert accepts(body, hermes("", [("get_weather", '{ "city" : "x" }')]))
    assert not accepts(body, hermes("", [("get_weather", '{  "city": "x"}')]))


def test_what_a_schema_spells_is_not_taken_for_grammar():
    schema = {"type": "object", "properties": {"a": {"enum": [{"type": "triggered_tags", "tags": []}]}}}
    body = call_body("hermes", [Tool("f", parameters=schema)], "required", False)
    assert body["tags"][0]["content"]["json_schema"] == schema


@pytest.mark.parametrize("mode", ["none", "auto"])
def test_a_model_that_may_choose_is_free_without_strict_tools(mode):
    assert call_body("hermes", TOOLS, mode, True) is None


def test_strict_arguments_follow_their_schema_in_a_free_answer(accepts):
    body = call_body("hermes", [Tool("get_weather", parameters=CITY, strict=True)], "auto", True)
    assert accepts(body, "It rains.")
    assert accepts(body, "Let me look. " + hermes("", [GOOD]))
    assert not accepts(body, hermes("", [("get_weather", '{"city": 1}')]))


def test_short_arguments_are_bounded(accepts):
    long = hermes("", [("get_weather", json.dumps({"city": "x" * 101}))])
    assert accepts(call_body("hermes", TOOLS, "required", False), long)
    assert not accepts(call_body("hermes", TOOLS, "required", False, short=True), long)


def test_every_parser_has_a_body_that_compiles(compiler):
    bodies = {json.dumps(call_body(name, TOOLS, "required", False)) for name in ToolParserManager.list_registered()}
    for body in bodies:
        compiler.compile_structural_tag(f'{{"type": "structural_tag", "format": {body}}}')
