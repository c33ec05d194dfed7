from fathom.api.openai.responses.turns import to_messages
from fathom.core.generation import Message, ToolCall


def message(role: str, text: str) -> dict:
    return {"id": "msg", "type": "message", "role": role, "content": [{"type": "output_text", "text": text}]}


def trace(text: str) -> dict:
    return {"id": "rs", "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": text}]}


def call(name: str) -> dict:
    return {"id": "fc", "type": "function_call", "call_id": f"call_{name}", "name": name, "arguments": "{}"}


def result(name: str) -> dict:
    return {"id": "fco", "type": "function_call_output", "call_id": f"call_{name}", "output": "4"}


def test_what_an_assistant_did_in_one_go_is_one_message():
    items = [message("user", "2+2?"), trace("Hm"), message("assistant", "I ask"), call("f"), call("g")]
    assert list(to_messages(items)) == [
        Message("user", "2+2?"),
        Message(
            "assistant",
            "I ask",
            reasoning="Hm",
            tool_calls=(ToolCall("call_f", "f", "{}"), ToolCall("call_g", "g", "{}")),
        ),
    ]


def test_results_of_calls_come_between_turns():
    items = [call("f"), result("f"), trace("Hm"), message("assistant", "4")]
    assert list(to_messages(items)) == [
        Message("assistant", "", tool_calls=(ToolCall("call_f", "f", "{}"),)),
        Message("tool", "4", tool_call_id="call_f"),
        Message("assistant", "4", reasoning="Hm"),
    ]


def test_two_messages_in_a_row_are_two_turns():
    items = [message("assistant", "one"), message("assistant", "two")]
    assert [each.content for each in to_messages(items)] == ["one", "two"]


def test_traces_of_one_turn_are_paragraphs():
    items = [trace("a"), message("assistant", "x"), trace("b"), message("assistant", "y")]
    assert list(to_messages(items)) == [Message("assistant", "xy", reasoning="a\n\nb")]


def test_a_trace_that_was_not_kept_is_none():
    assert list(to_messages([trace("") | {"content": []}, message("assistant", "x")])) == [Message("assistant", "x")]


def test_other_roles_stay_as_they_are():
    items = [message("system", "a"), message("developer", "b"), message("user", "")]
    assert list(to_messages(items)) == [Message("system", "a"), Message("developer", "b"), Message("user", "")]
