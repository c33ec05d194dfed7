from fathom.api.openai.chat.prompt import chat_prompt
from fathom.api.openai.chat.schemas import Conversation
from fathom.core.generation import Chat, Message, Tool, ToolCall, ToolUse

USER = {"role": "user", "content": "x"}
TOOLS = [
    {"type": "function", "function": {"name": "f", "strict": True, "parameters": {"type": "object"}}},
    {"type": "function", "function": {"name": "g", "description": "d"}},
]
F, G = Tool("f", None, {"type": "object"}, True), Tool("g", "d")


def prompt(*messages: dict, **fields: object) -> Chat:
    return chat_prompt(Conversation(model="m", messages=list(messages) or [USER], **fields))


def test_parts_of_text_are_joined():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert prompt({"role": "user", "content": parts, "name": "n"}).messages == (Message("user", "ab", "n"),)


def test_a_round_of_tools_is_kept_whole():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    asked = {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call]}
    answered = {"role": "tool", "tool_call_id": "c1", "content": "42"}
    assert prompt(USER, asked, answered).messages[1:] == (
        Message("assistant", "", None, "hm", (ToolCall("c1", "f", '{"a": 1}'),)),
        Message("tool", "42", tool_call_id="c1"),
    )


def test_either_name_of_a_trace_is_read_and_an_empty_one_is_one():
    assert prompt({"role": "assistant", "content": "x", "reasoning": "r"}, USER).messages[0].reasoning == "r"
    assert prompt({"role": "assistant", "content": "x", "reasoning_content": ""}, USER).messages[0].reasoning == ""


def test_a_refusal_of_an_earlier_turn_is_its_text():
    assert prompt({"role": "assistant", "refusal": "No."}, USER).messages[0].content == "No."


def test_the_last_assistant_message_is_continued_where_the_client_says_so():
    last = {"role": "assistant", "content": "The sky"}
    assert not prompt(USER, last).continues
    assert prompt(USER, last | {"prefix": True}).continues
    assert prompt(USER, last, continue_final_message=True, add_generation_prompt=False).continues


def test_tools_are_free_to_use_unless_the_client_says_otherwise():
    assert prompt(tools=TOOLS).tools == ToolUse((F, G))
    assert prompt(tools=TOOLS, tool_choice="none").tools == ToolUse((F, G), "none")
    assert prompt(tools=TOOLS, tool_choice="required", parallel_tool_calls=False).tools == ToolUse(
        (F, G), "required", parallel=False
    )


def test_a_named_tool_is_the_only_one_and_required_once():
    named = {"type": "function", "function": {"name": "g"}}
    assert prompt(tools=TOOLS, tool_choice=named).tools == ToolUse((G,), "required", parallel=False)


def test_allowed_tools_are_a_part_of_the_tools():
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}
    assert prompt(tools=TOOLS, tool_choice={"type": "allowed_tools", "allowed_tools": allowed}).tools == ToolUse(
        (F,), "required"
    )


def test_template_variables_pass_but_the_switches_of_thinking_do_not():
    given = {"enable_thinking": False, "reasoning_effort": "low", "date_string": "today"}
    assert prompt(chat_template_kwargs=given).variables == {"date_string": "today"}
