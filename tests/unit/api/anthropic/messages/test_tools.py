import pytest
from fathom.api.anthropic.messages.schemas import PromptRequest
from fathom.api.anthropic.messages.tools import used_tools
from fathom.core.errors import BadRequest, Unsupported
from fathom.core.generation import Tool, ToolUse

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
TOOLS = [
    {"name": "f", "input_schema": SCHEMA, "strict": True, "cache_control": {"type": "ephemeral"}},
    {"name": "g", "description": "d", "input_schema": {"type": "object"}, "type": "custom"},
]
F, G = Tool("f", None, SCHEMA, True), Tool("g", "d", {"type": "object"})


def used(tools: list[dict] = TOOLS, **fields: object) -> ToolUse:
    return used_tools(PromptRequest(model="m", messages=[{"role": "user", "content": "x"}], tools=tools, **fields))


def refused(*tools: dict, **fields: object) -> BadRequest:
    with pytest.raises(BadRequest) as raised:
        used(list(tools), **fields)
    return raised.value


def test_tools_are_free_to_use_unless_the_client_says_otherwise():
    assert used() == ToolUse((F, G))
    assert used(tool_choice={"type": "auto", "disable_parallel_tool_use": True}) == ToolUse((F, G), parallel=False)
    assert used(tool_choice={"type": "any"}) == ToolUse((F, G), "required")
    assert used(tool_choice={"type": "none"}) == ToolUse((F, G), "none")


def test_a_named_tool_is_the_only_one_and_required_once():
    assert used(tool_choice={"type": "tool", "name": "g"}) == ToolUse((G,), "required", parallel=False)


def test_examples_of_input_are_told_with_the_description():
    examples = [{"a": 1}, {"a": 2}]
    told = used([TOOLS[1] | {"input_examples": examples}]).tools[0].description
    assert told == 'd\n\nExamples of its input:\n{"a": 1}\n{"a": 2}'
    assert used([TOOLS[0] | {"input_examples": []}]).tools[0].description is None


@pytest.mark.parametrize(
    "kind", ["web_search_20250305", "bash_20250124", "code_execution_20260521", "computer_toolset_20260801"]
)
def test_tools_of_the_vendor_are_refused_by_name(kind):
    problem = refused(TOOLS[0], {"type": kind, "name": "web_search"})
    assert isinstance(problem, Unsupported)
    assert problem.param == "tools.1.type"
    assert kind in problem.message
    assert refused({"type": kind}).param == "tools.0.type"


def test_wishes_of_a_tool_that_change_nothing_here_pass():
    harmless = {"defer_loading": False, "allowed_callers": ["direct"], "eager_input_streaming": True}
    assert used([TOOLS[1] | harmless]) == ToolUse((G,))


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"name": "f"}, "tools.0.input_schema"),
        ({"input_schema": {}}, "tools.0.name"),
        (TOOLS[0] | {"defer_loading": True}, "tools.0.defer_loading"),
        (TOOLS[0] | {"allowed_callers": ["direct", "code_execution_20260521"]}, "tools.0.allowed_callers"),
        (TOOLS[0] | {"description": "half \ud800"}, "tools.0.description"),
        (TOOLS[0] | {"input_examples": [{"a": float("inf")}]}, "tools.0.input_examples.0"),
    ],
)
def test_what_a_tool_cannot_be_is_refused_where_it_is(tool, param):
    assert refused(tool).param == param


def test_choices_that_the_tools_cannot_satisfy_are_refused():
    assert refused(tool_choice={"type": "any"}).param == "tool_choice"
    assert refused(*TOOLS, tool_choice={"type": "tool", "name": "h"}).param == "tool_choice"
    assert refused(*TOOLS, tool_choice={"type": "tool"}).param == "tool_choice.name"
    assert refused(TOOLS[0], TOOLS[0]).param == "tools.1.name"
    assert used([], tool_choice={"type": "auto"}) == ToolUse()
