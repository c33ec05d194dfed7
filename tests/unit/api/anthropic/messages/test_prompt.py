import pytest
from fathom.api.anthropic.messages.prompt import chat_prompt
from fathom.api.anthropic.messages.schemas import PromptRequest
from fathom.core.errors import BadRequest, Unsupported
from fathom.core.generation import Chat, Message, ToolCall
from fathom.serving.sealing import Seals

SEALS = Seals(b"k" * 32)
USER = {"role": "user", "content": "x"}
CALL = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": [1, "é"]}}
RESULT = {"type": "tool_result", "tool_use_id": "c1", "content": "42"}


def prompt(*messages: dict, **fields: object) -> Chat:
    return chat_prompt(PromptRequest(model="m", messages=list(messages) or [USER], **fields), SEALS)


def text(value: str, **more: object) -> dict:
    return {"type": "text", "text": value, **more}


def said(role: str, *blocks: dict) -> dict:
    return {"role": role, "content": list(blocks)}


def thought(trace: str) -> dict:
    return {"type": "thinking", "thinking": trace, "signature": SEALS.sign(trace)}


def refused(*messages: dict, **fields: object) -> BadRequest:
    with pytest.raises(BadRequest) as raised:
        prompt(*messages, **fields)
    return raised.value


def test_blocks_of_a_message_are_joined_as_they_are():
    assert prompt(said("user", text("a", cache_control={"type": "ephemeral"}), text("b"))).messages == (
        Message("user", "ab"),
    )


def test_messages_of_one_role_in_a_row_are_one():
    assert prompt(USER, said("user", text("y"), text("z")), said("user")).messages == (Message("user", "x\n\nyz"),)


def test_the_system_prompt_comes_first_as_text_or_as_blocks():
    assert prompt(system="Be kind.").messages == (Message("system", "Be kind."), Message("user", "x"))
    assert prompt(system=[text("Be "), text("kind.")]).messages[0] == Message("system", "Be kind.")
    assert prompt(system=[]).messages == (Message("user", "x"),)


def test_a_system_message_between_others_stays_there():
    between = {"role": "system", "content": "Now be brief."}
    assert [each.role for each in prompt(USER, between, USER).messages] == ["user", "system", "user"]
    assert prompt(between, USER, system="Be kind.").messages[0] == Message("system", "Be kind.\n\nNow be brief.")


def test_a_round_of_tools_is_kept_whole():
    asked = said("assistant", thought("hm"), text("Let me see."), CALL)
    answered = said("user", text("and?"), RESULT)
    assert prompt(USER, asked, answered).messages[1:] == (
        Message("assistant", "Let me see.", reasoning="hm", tool_calls=(ToolCall("c1", "f", '{"a": [1, "é"]}'),)),
        Message("tool", "42", tool_call_id="c1"),
        Message("user", "and?"),
    )


def test_a_result_can_be_blocks_nothing_or_an_error():
    def result(**fields: object) -> str:
        block = {"type": "tool_result", "tool_use_id": "c1", **fields}
        return prompt(USER, said("assistant", CALL), said("user", block)).messages[-1].content

    assert result(content=[text("4"), text("2")]) == "42"
    assert result() == ""
    assert result(content="no such city", is_error=True) == "Error: no such city"


def test_a_signed_trace_is_the_trace_of_its_turn():
    turn = said("assistant", thought("one"), thought("two"), text("done"))
    assert prompt(USER, turn, USER).messages[1] == Message("assistant", "done", reasoning="one\n\ntwo")


def test_a_trace_that_the_client_never_saw_is_opened():
    hidden = {"type": "thinking", "thinking": "", "signature": SEALS.seal("hm")}
    redacted = {"type": "redacted_thinking", "data": SEALS.seal("hm")}
    for block in (hidden, redacted):
        assert prompt(USER, said("assistant", block, text("done")), USER).messages[1].reasoning == "hm"


@pytest.mark.parametrize(
    "block",
    [
        {"type": "thinking", "thinking": "other", "signature": SEALS.sign("hm")},
        {"type": "thinking", "thinking": "hm", "signature": Seals(b"o" * 32).sign("hm")},
        {"type": "thinking", "thinking": "hm", "signature": SEALS.seal("hm")},
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "thinking", "thinking": "hm"},
        {"type": "thinking", "thinking": "half \ud800", "signature": "half \ud800"},
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking"},
        {"type": "redacted_thinking", "data": SEALS.sign("hm")},
        {"type": "redacted_thinking", "data": ""},
        {"type": "redacted_thinking"},
    ],
)
def test_a_trace_that_is_not_ours_is_refused_where_it_is(block):
    problem = refused(USER, said("assistant", text("a"), block), USER)
    assert problem.param == "messages.1.content.1"
    assert "signature" in problem.message or "data" in problem.message


def test_a_trace_is_checked_in_every_turn_and_counts_from_the_request():
    bad = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    turns = [USER, USER, said("assistant", text("a")), said("assistant", bad), USER]
    assert refused(*turns, system="s").param == "messages.3.content.0"


def test_a_last_message_of_the_assistant_is_continued():
    assert not prompt(USER).continues
    chat = prompt(USER, said("assistant", text("The sky")))
    assert chat.continues
    assert chat.messages[-1] == Message("assistant", "The sky")


def test_a_last_trace_is_continued_inside():
    chat = prompt(USER, said("assistant", thought("hm")))
    assert chat.continues
    assert chat.messages[-1] == Message("assistant", "", reasoning="hm")


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([USER, said("assistant", text("a"), CALL)], "messages.1.content.1"),
        ([said("user", RESULT)], "messages.0.content.0.tool_use_id"),
        ([USER, said("user", {"type": "tool_result", "content": "x"})], "messages.1.content.0.tool_use_id"),
        ([said("user", CALL)], "messages.0.content.0"),
        ([said("user", thought("x"))], "messages.0.content.0"),
        ([said("assistant", RESULT)], "messages.0.content.0"),
        ([said("system", thought("x")), USER], "messages.0.content.0"),
        ([said("user", {"type": "text"})], "messages.0.content.0.text"),
        ([said("user", text("half \ud800"))], "messages.0.content.0.text"),
        ([said("assistant", {**CALL, "input": None}), USER], "messages.0.content.0.input"),
        ([said("assistant", {**CALL, "input": {"x": float("nan")}}), USER], "messages.0.content.0.input"),
        ([said("assistant", {**CALL, "input": {"\ud800": 1}}), USER], "messages.0.content.0.input"),
        ([said("assistant", {"type": "tool_use", "name": "f", "input": {}}), USER], "messages.0.content.0.id"),
        ([said("assistant", {"type": "tool_use", "id": "1", "input": {}}), USER], "messages.0.content.0.name"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is(messages, param):
    assert refused(*messages).param == param


@pytest.mark.parametrize("kind", ["image", "document", "search_result", "server_tool_use", "web_search_tool_result"])
def test_blocks_that_no_model_here_reads_are_refused_by_name(kind):
    inside = {**RESULT, "content": [text("a"), {"type": kind}]}
    for messages, param in (
        ([said("user", text("a"), {"type": kind, "source": {}})], "messages.0.content.1"),
        ([said("assistant", CALL), said("user", inside)], "messages.1.content.0.content.1"),
    ):
        problem = refused(*messages)
        assert isinstance(problem, Unsupported)
        assert problem.param == param
        assert kind in problem.message
