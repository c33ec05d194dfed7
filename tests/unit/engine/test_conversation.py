import pytest
from fathom.core.generation import Chat, Message, ToolCall
from fathom.engine import conversation
from fathom.engine.conversation import Opening
from fathom.models.profiles import Profile, Reasoning, by_name

R1 = Profile("test", reasoning=Reasoning())
KNOWS = "{{ message.reasoning_content }}"
USER = Message("user", "hello")
CALL = ToolCall("c1", "f", '{"a": 1}')
ASKED = Message("assistant", "one moment", reasoning="hm", tool_calls=(CALL,))
RESULT = Message("tool", "42", tool_call_id="c1")


def turns(*messages: Message, profile: Profile = R1, template: str = KNOWS) -> list[dict]:
    return conversation.turns(messages, profile, template, lambda text: text)


def test_a_trace_behind_the_last_user_turn_is_replayed_by_the_templates_own_name():
    assert turns(USER, ASKED, RESULT)[1]["reasoning_content"] == "hm"


def test_a_trace_before_the_last_user_turn_is_dropped():
    assert "reasoning_content" not in turns(USER, ASKED, RESULT, USER)[1]


def test_a_template_that_knows_no_traces_gets_them_as_text():
    assert turns(USER, ASKED, RESULT, template="")[1]["content"] == "<think>\nhm\n</think>\n\none moment"


def test_a_trace_inside_the_content_is_taken_out_of_it():
    turn = turns(USER, Message("assistant", "<think>\nhm\n</think>\n\nyes"), RESULT)[1]
    assert (turn["reasoning_content"].strip(), turn["content"]) == ("hm", "yes")
    assert turns(Message("assistant", "<think>hm</think>yes"), USER)[0]["content"] == "yes"


def test_calls_and_results_are_in_the_turns():
    _, asked, answered = turns(USER, ASKED, RESULT)
    assert asked["tool_calls"][0]["function"]["name"] == "f"
    assert (answered["role"], answered["content"], answered["name"]) == ("tool", "42", "f")


def test_gpt_oss_gets_its_thoughts_and_a_call_without_other_content():
    turn = turns(USER, ASKED, RESULT, profile=by_name("gpt-oss"))[1]
    assert (turn["thinking"], turn["content"]) == ("hm\n\none moment", "")


@pytest.mark.parametrize(
    ("last", "opening"),
    [
        (Message("assistant", "The sky"), Opening(None, "The sky")),
        (Message("assistant", "", reasoning="hm"), Opening("hm", "")),
        (Message("assistant", "The", reasoning="hm"), Opening("hm", "The")),
        (Message("assistant", "<think>\nhm"), Opening("hm", "")),
        (Message("assistant", "<think>hm</think>The"), Opening("hm", "The")),
    ],
)
def test_a_turn_that_is_continued_is_opened_where_it_ends(last, opening):
    earlier, found = conversation.split(Chat((USER, last), continues=True), R1.reasoning)
    assert (list(earlier), found) == ([USER], opening)


@pytest.mark.parametrize(
    ("opening", "opened", "text"),
    [
        (Opening(None, "The sky"), False, "The sky"),
        (Opening("hm", ""), True, "hm"),
        (Opening("hm", ""), False, "<think>\nhm"),
        (Opening("hm\n", "The"), True, "hm\n</think>\n\nThe"),
    ],
)
def test_what_goes_behind_the_prompt(opening, opened, text):
    said = conversation.continuation(opening, R1.reasoning, opened=opened, plain=lambda text: text)
    assert said == text


def test_gpt_oss_continues_in_its_channels():
    reasoning = by_name("gpt-oss").reasoning
    said = conversation.continuation(Opening("hm", "The"), reasoning, opened=False, plain=lambda text: text)
    assert said == "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>The"
