import pytest
from fathom.api.anthropic.messages.schemas import MessagesRequest
from fathom.api.anthropic.messages.translate import control, to_generation
from fathom.core.errors import Unsupported
from fathom.core.generation import Chat, GenerationRequest, Message, ReasoningControl, Sampling, Structure
from fathom.serving.sealing import Seals
from pydantic import ValidationError


def request(**fields: object) -> MessagesRequest:
    return MessagesRequest(**{"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 9, **fields})


def controlled(**fields: object) -> ReasoningControl:
    return control(request(**fields))


def test_a_request_becomes_the_canonical_one():
    schema = {"type": "object"}
    body = request(
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop_sequences=["END"],
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert to_generation(body, "msg_1", "lora", Seals(b"k" * 32)) == GenerationRequest(
        id="msg_1",
        prompt=Chat((Message("user", "x"),)),
        sampling=Sampling(max_tokens_fit=True, max_tokens=9, temperature=0.5, top_p=0.9, top_k=5, stop=("END",)),
        structure=Structure("json_schema", schema, "output_config.format.schema"),
        adapter="lora",
    )


def test_without_a_word_the_family_decides_whether_to_think():
    assert controlled() == ReasoningControl()
    assert controlled(thinking={"type": "adaptive"}) == ReasoningControl()


def test_thinking_has_a_budget_and_can_be_switched_off():
    assert controlled(thinking={"type": "enabled", "budget_tokens": 64}) == ReasoningControl(enabled=True, budget=64)
    assert controlled(thinking={"type": "disabled"}) == ReasoningControl(enabled=False)


def test_an_effort_counts_unless_thinking_is_off():
    low = {"effort": "low"}
    assert controlled(output_config=low) == ReasoningControl(effort="low", param="output_config.effort")
    assert controlled(output_config=low, thinking={"type": "adaptive"}).effort == "low"
    assert controlled(output_config=low, thinking={"type": "disabled"}).effort is None


def test_a_trace_can_be_left_out_of_sight():
    omitted = {"type": "adaptive", "display": "omitted"}
    assert not controlled(thinking=omitted).visible
    assert request(thinking=omitted).omits_trace
    assert not request(thinking=omitted | {"display": "summarized"}).omits_trace
    assert not request().omits_trace


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"thinking": {"type": "between_tools"}}, "thinking.type"),
        ({"output_config": {"task_budget": {"type": "tokens", "total": 5}}}, "output_config.task_budget"),
    ],
)
def test_controls_that_cannot_be_honoured_are_refused_by_name(fields, param):
    with pytest.raises(Unsupported) as raised:
        controlled(**fields)
    assert raised.value.param == param


@pytest.mark.parametrize("name", ["temperature", "top_p"])
def test_no_number_is_no_number(name):
    with pytest.raises(ValidationError):
        request(**{name: float("nan")})
