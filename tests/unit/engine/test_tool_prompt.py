import json

import pytest
from fathom.core.generation import Message, Tool, ToolCall
from fathom.engine.tool_prompt import call_names, knows_tools, spell_out, tool_fields, tool_variables
from fathom.models.profiles import PROFILES
from jinja2.sandbox import ImmutableSandboxedEnvironment

CUT = "\ufdd0"
CITY = {"type": "object", "properties": {"<|end|>": {"enum": ["<|end|>", 1]}}, "required": ["<|end|>"]}
WEATHER = Tool("get_weather", "Weather <|end|>", CITY)
CALL = ToolCall("call_1", "get_weather", '{"city": "Łódź <|end|>", "days": [1, {"x": null}]}')
ASKED = [
    Message("user", "Weather?"),
    Message("assistant", "", tool_calls=(CALL, ToolCall("call_2", "now", ""))),
    Message("tool", "3 degrees", tool_call_id="call_1"),
    Message("tool", "noon", tool_call_id="call_2"),
]


def plain(text):
    return text.replace("<|end|>", f"<{CUT}|end|>")


def turns_of(messages):
    names = call_names(messages)
    return [{"role": each.role, "content": plain(each.content)} | tool_fields(each, names, plain) for each in messages]


def render(template):
    return ImmutableSandboxedEnvironment().from_string(template).render(messages=turns_of(ASKED))


@pytest.mark.parametrize(
    ("template", "knows"),
    [
        ("{%- if tools %}{{ tools | tojson }}{% endif %}", True),
        ("{%- for tool in tools -%}{{ tool }}{%- endfor %}", True),
        ("{%- if message['tool_calls'] %}{%- set ns.is_tool = true %}{% endif %}", False),
        ("{{ messages[0].content }}", False),
    ],
)
def test_a_template_knows_tools_if_it_reads_them(template, knows):
    assert knows_tools(template) is knows


def test_our_own_templates_leave_tools_to_us():
    assert not any(knows_tools(profile.template) for profile in PROFILES if profile.template)


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages[1].tool_calls[0].function.arguments }}",
        "{{ '' + messages[1]['tool_calls'][0]['function']['arguments'] + '' }}",
        "{{ '' ~ messages[1].tool_calls[0].function.arguments ~ '' }}",
        "{{ messages[1].tool_calls[0].function.arguments | string }}",
    ],
)
def test_a_template_that_joins_arguments_as_text_gets_json(template):
    assert json.loads(render(template).replace(CUT, "")) == json.loads(CALL.arguments)


def test_a_template_that_walks_through_arguments_gets_an_object():
    walk = (
        "{% for key, value in messages[1].tool_calls[0].function.arguments.items() %}{{ key }}={{ value }};{% endfor %}"
    )
    assert render(walk) == f"city=Łódź <{CUT}|end|>;days=[1, {{'x': None}}];"


def test_empty_arguments_are_an_empty_object_and_broken_ones_stay_as_they_are():
    messages = [Message("assistant", "", tool_calls=(ToolCall("1", "f", ""), ToolCall("2", "f", '{"a <|end|>')))]
    first, second = turns_of(messages)[0]["tool_calls"]
    assert first["function"]["arguments"] == {}
    assert second["function"]["arguments"] == f'{{"a <{CUT}|end|>'


def test_a_result_is_named_after_its_call():
    assert [turn.get("name") for turn in turns_of(ASKED)] == [None, None, "get_weather", "now"]


def test_a_turn_without_tools_says_nothing_of_them():
    assert tool_fields(Message("assistant", "Hi"), {}, plain) == {}


def test_no_string_of_a_tool_passes_as_it_is():
    dumped = json.dumps(tool_variables([WEATHER], plain), ensure_ascii=False)
    assert "<|end|>" not in dumped
    assert dumped.count(f"<{CUT}|end|>") == 4


def test_a_tool_without_parameters_takes_an_empty_object():
    (tool,) = tool_variables([Tool("now")], plain)
    assert tool["function"]["description"] == ""
    assert tool["function"]["parameters"] == {"type": "object", "properties": {}, "additionalProperties": False}


def test_tools_are_told_in_the_system_turn():
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    told = spell_out(turns, tool_variables([WEATHER, Tool("now")], plain))
    assert [turn["role"] for turn in told] == ["system", "user"]
    assert told[0]["content"].startswith("Be brief.\n\n")
    lines = told[0]["content"].split("<tools>\n")[1].split("\n</tools>")[0].splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["get_weather", "now"]


def test_without_a_system_turn_one_is_made():
    told = spell_out([{"role": "user", "content": "Hi"}], tool_variables([WEATHER], plain))
    assert [turn["role"] for turn in told] == ["system", "user"]


def test_without_tools_nothing_is_told():
    turns = [{"role": "user", "content": "Hi"}]
    assert spell_out(turns, []) == turns


def test_calls_and_results_become_text():
    _, assistant, results = spell_out(turns_of(ASKED), [])
    first, second = (
        assistant["content"]
        .removeprefix("<tool_call>\n")
        .removesuffix("\n</tool_call>")
        .split("\n</tool_call>\n<tool_call>\n")
    )
    assert json.loads(first.replace(CUT, "")) == {"name": "get_weather", "arguments": json.loads(CALL.arguments)}
    assert json.loads(second) == {"name": "now", "arguments": {}}
    assert results == {
        "role": "user",
        "content": "<tool_response>\n3 degrees\n</tool_response>\n<tool_response>\nnoon\n</tool_response>",
    }


def test_content_stands_before_its_calls():
    message = Message("assistant", "Let me look.", tool_calls=(ToolCall("1", "now", "{}"),))
    (turn,) = spell_out(turns_of([message]), [])
    assert turn["content"] == 'Let me look.\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
    assert "tool_calls" not in turn
