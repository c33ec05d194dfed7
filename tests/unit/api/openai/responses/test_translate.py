import pytest
from fathom.api.openai.responses import schemas, translate
from fathom.api.openai.responses.items import own_items
from fathom.core.errors import BadRequest, Unsupported
from fathom.core.generation import Chat, GenerationRequest, Message, Structure
from pydantic import ValidationError

from tests.responses_schema import check_response
from tests.unit.api.openai.responses.making import CARD, SEALS, request

TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
SCHEMA = {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": True}


def generation(**fields) -> GenerationRequest:
    body = request(**fields)
    return translate.to_generation(body, own_items(body.input or [], {}, (), SEALS), "resp_1", None)


def chat(**fields) -> Chat:
    prompt = generation(**fields).prompt
    assert isinstance(prompt, Chat)
    return prompt


def test_instructions_come_first():
    assert chat(instructions="Be brief.").messages == (Message("system", "Be brief."), Message("user", "Hello"))


def test_errors_of_the_prompt_name_the_input():
    assert chat().param == "input"


@pytest.mark.parametrize("given", [{"input": None}, {"input": []}, {"input": [], "instructions": "x"}])
def test_there_must_be_something_to_respond_to(given):
    with pytest.raises(BadRequest) as refused:
        generation(**given)
    assert refused.value.param == "input"


def test_sampling_is_taken_over():
    sampling = generation(max_output_tokens=9, temperature=0.5, top_p=0.7, top_k=3, seed=1, stop="x").sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p, sampling.top_k) == (9, 0.5, 0.7, 3)
    assert (sampling.seed, sampling.stop) == (1, ("x",))


@pytest.mark.parametrize(
    ("fields", "logprobs"),
    [
        ({}, None),
        ({"include": ["message.output_text.logprobs"]}, 0),
        ({"top_logprobs": 3}, 3),
        ({"top_logprobs": 0}, None),
    ],
)
def test_logprobs_are_asked_for_in_two_ways(fields, logprobs):
    assert generation(**fields).sampling.logprobs == logprobs


def test_controls_of_the_trace_are_those_of_chat():
    control = generation(reasoning={"effort": "low", "max_tokens": 7, "summary": "auto"}).reasoning
    assert (control.effort, control.budget) == ("low", 7)
    assert generation(reasoning={"effort": "none"}).reasoning.enabled is False
    assert generation(thinking={"type": "disabled"}).reasoning.enabled is False
    assert generation(reasoning={"exclude": True}).reasoning.visible is False


@pytest.mark.parametrize(
    ("text", "structure"),
    [
        (None, None),
        ({}, None),
        ({"format": {"type": "text"}}, None),
        ({"format": {"type": "json_object"}}, Structure("json_object", param="text.format")),
        ({"format": SCHEMA}, Structure("json_schema", {"type": "object"}, "text.format.schema")),
    ],
)
def test_a_format_is_a_structure(text, structure):
    assert generation(text=text).structure == structure


@pytest.mark.parametrize(
    ("choice", "mode", "parallel", "names"),
    [
        (None, "auto", True, ["f", "g"]),
        ("none", "none", True, ["f", "g"]),
        ("required", "required", True, ["f", "g"]),
        ({"type": "function", "name": "g"}, "required", False, ["g"]),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
            "required",
            True,
            "f",
        ),
    ],
)
def test_tools_are_narrowed_by_their_choice(choice, mode, parallel, names):
    uses = chat(tools=[TOOL, {**TOOL, "name": "g"}], tool_choice=choice).tools
    assert (uses.mode, uses.parallel, [tool.name for tool in uses.tools]) == (mode, parallel, list(names))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.name"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"text": {"format": SCHEMA}, "structured_outputs": {"regex": "a"}}, "structured_outputs"),
        ({"tools": [TOOL, TOOL]}, "tools.1.name"),
        ({"tools": [{"type": "function"}]}, "tools.0.name"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "g"}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "web_search_preview"}}, "tool_choice.type"),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.tools"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "tools": [{"type": "mcp"}]}},
            "tool_choice.tools.0.type",
        ),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"instructions": "\ud800"}, "instructions"),
        ({"chat_template_kwargs": {"tools": 1}}, "chat_template_kwargs.tools"),
    ],
)
def test_what_the_schema_cannot_see_is_named(fields, param):
    with pytest.raises(BadRequest) as refused:
        generation(**fields)
    assert refused.value.param == param


@pytest.mark.parametrize("name", schemas.REFUSED)
def test_a_field_that_cannot_be_honoured_is_refused_by_name(name):
    with pytest.raises(Unsupported) as refused:
        translate.refuse(request(**{name: "something"}))
    assert refused.value.param == name


@pytest.mark.parametrize("name", schemas.REFUSED)
def test_its_harmless_values_pass(name):
    for harmless in (None, *schemas.REFUSED[name]):
        translate.refuse(request(**{name: harmless}))


INSIDE = [(outer, name) for outer, fields in schemas.REFUSED_INSIDE.items() for name in fields]


@pytest.mark.parametrize(("outer", "name"), INSIDE)
def test_a_field_inside_of_another_is_refused_by_its_path(outer, name):
    with pytest.raises(Unsupported) as refused:
        translate.refuse(request(**{outer: {name: "something"}}))
    assert refused.value.param == f"{outer}.{name}"
    for harmless in (None, *schemas.REFUSED_INSIDE[outer][name]):
        translate.refuse(request(**{outer: {name: harmless}}))


def test_a_background_response_must_be_stored():
    with pytest.raises(BadRequest) as refused:
        translate.refuse(request(background=True, store=False))
    assert refused.value.param == "background"


def test_a_body_has_what_clients_expect_before_there_is_any_output():
    body = translate.to_body(request(), "resp_1", CARD)
    check_response({**body, "output": []})
    assert (body["temperature"], body["top_p"]) == (0.6, 1.0)
    assert (body["store"], body["background"], body["status"]) == (True, False, "in_progress")


def test_a_body_says_back_what_was_asked():
    asked = {
        "instructions": "Be brief.",
        "max_output_tokens": 9,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "previous_response_id": "resp_0",
        "prompt_cache_key": "key",
        "safety_identifier": "someone",
        "store": False,
        "temperature": 0.25,
        "top_p": 0.5,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "top_logprobs": 2,
        "text": {"format": SCHEMA},
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        "tools": [{**TOOL, "description": "A function"}],
        "truncation": "auto",
        "user": "me",
    }
    body = translate.to_body(request(**asked), "resp_1", CARD)
    check_response({**body, "output": []})
    assert {name: body[name] for name in asked} == asked


def test_a_body_says_how_its_trace_was_asked_for():
    body = translate.to_body(request(reasoning={"effort": "low", "summary": "auto", "max_tokens": 9}), "resp_1", CARD)
    assert body["reasoning"] == {"effort": "low", "summary": "auto", "max_tokens": 9}
    assert translate.to_body(request(), "resp_1", CARD)["reasoning"] == {"effort": None, "summary": None}


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"input": 3}, "input"),
        ({"input": [{"type": "item_reference", "id": "a b"}]}, "id"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "role"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"include": ["everything"]}, "include"),
        ({"truncation": "some"}, "truncation"),
        ({"metadata": {"k": "v" * 600}}, "metadata"),
        ({"previous_response_id": "\x00"}, "previous_response_id"),
        ({"reasoning": {"summary": "long"}}, "reasoning"),
        ({"text": {"format": {"type": "xml"}}}, "text"),
    ],
)
def test_the_schema_has_bounds(fields, where):
    with pytest.raises(ValidationError) as refused:
        request(**fields)
    assert where in refused.value.errors()[0]["loc"]
