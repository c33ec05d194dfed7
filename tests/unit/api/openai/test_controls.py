import pytest
from fathom.api.openai.chat.schemas import ChatRequest
from fathom.api.openai.controls import control
from fathom.core.errors import BadRequest
from fathom.core.generation import ReasoningControl


def asked(**fields: object) -> ReasoningControl:
    return control(ChatRequest(model="m", messages=[{"role": "user", "content": "x"}], **fields))


@pytest.mark.parametrize(
    ("fields", "enabled", "budget", "effort"),
    [
        ({}, None, None, None),
        ({"thinking": {"type": "enabled"}}, True, None, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, True, 9, None),
        ({"thinking": {"type": "disabled", "budget_tokens": 9}}, False, None, None),
        ({"thinking": {"type": "adaptive"}}, None, None, None),
        ({"reasoning_effort": "high"}, None, None, "high"),
        ({"reasoning_effort": "none"}, False, None, None),
        ({"reasoning": {"effort": "low"}}, None, None, "low"),
        ({"reasoning": {"effort": "none"}}, False, None, None),
        ({"reasoning": {"max_tokens": 5, "enabled": True}}, True, 5, None),
        ({"reasoning": {"enabled": False}, "reasoning_effort": "high"}, False, None, None),
        ({"enable_thinking": False}, False, None, None),
        ({"thinking_budget": 7}, None, 7, None),
        ({"thinking_token_budget": 6, "thinking_budget": 7}, None, 6, None),
        ({"chat_template_kwargs": {"enable_thinking": False}}, False, None, None),
        ({"chat_template_kwargs": {"thinking": True}}, True, None, None),
        ({"chat_template_kwargs": {"reasoning_effort": "low"}}, None, None, "low"),
        ({"thinking": {"type": "disabled"}, "enable_thinking": True}, False, None, None),
        ({"reasoning_effort": "none", "enable_thinking": True}, True, None, None),
        ({"reasoning_effort": "high", "thinking_budget": 8}, None, 8, "high"),
    ],
)
def test_every_spelling_comes_to_the_one_control(fields, enabled, budget, effort):
    found = asked(**fields)
    assert (found.enabled, found.budget, found.effort) == (enabled, budget, effort)


@pytest.mark.parametrize("hidden", [{"include_reasoning": False}, {"reasoning": {"exclude": True}}])
def test_a_trace_can_be_hidden(hidden):
    assert not asked(**hidden).visible
    assert asked().visible


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"reasoning": {"max_tokens": 3}}, "reasoning.max_tokens"),
        ({"chat_template_kwargs": {"thinking": True}}, "chat_template_kwargs.thinking"),
        ({"thinking": {"type": "enabled"}, "reasoning_effort": "low"}, "thinking"),
    ],
)
def test_it_remembers_which_field_asked(fields, param):
    assert asked(**fields).param == param


def test_a_switch_of_the_template_must_be_one():
    with pytest.raises(BadRequest) as refused:
        asked(chat_template_kwargs={"thinking": "on"})
    assert refused.value.param == "chat_template_kwargs.thinking"
