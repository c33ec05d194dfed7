import pytest
from fathom.api.openai.fields import SamplingFields, structure_of, to_sampling
from fathom.core.errors import BadRequest
from fathom.core.generation import Sampling, Structure
from pydantic import ValidationError

SCHEMA = {"type": "object"}


def structure(**fields: object) -> Structure | None:
    return structure_of(SamplingFields(**fields))


def test_what_is_left_out_or_null_is_the_default():
    nothing = SamplingFields()
    nulls = SamplingFields(**dict.fromkeys(SamplingFields.model_fields))
    for body in (nothing, nulls):
        assert to_sampling(body, max_tokens=None, logprobs=None) == Sampling()
        assert structure_of(body) is None
        assert (body.choices, body.wants_usage) == (1, False)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"regex": "a+"}, Structure("regex", "a+", "structured_outputs.regex")),
        ({"choice": ["a", "b"]}, Structure("choice", ("a", "b"), "structured_outputs.choice")),
        ({"grammar": "root ::= x"}, Structure("grammar", "root ::= x", "structured_outputs.grammar")),
        ({"json": SCHEMA}, Structure("json_schema", SCHEMA, "structured_outputs.json")),
        ({"json": '{"type": "object"}'}, Structure("json_schema", SCHEMA, "structured_outputs.json")),
        ({"json": True}, Structure("json_schema", True, "structured_outputs.json")),
        ({"structural_tag": "{}"}, Structure("structural_tag", {}, "structured_outputs.structural_tag")),
    ],
)
def test_structured_outputs_are_of_one_kind(asked, expected):
    assert structure(structured_outputs=asked) == expected


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({}, "structured_outputs"),
        ({"regex": "a", "json": {}}, "structured_outputs"),
        ({"json": "{"}, "structured_outputs.json"),
        ({"json": "[" * 100_000}, "structured_outputs.json"),
        ({"json": [1]}, "structured_outputs.json"),
        ({"json": '"\ud800"'}, "structured_outputs.json"),
        ({"regex": "\ud800"}, "structured_outputs.regex"),
        ({"structural_tag": True}, "structured_outputs.structural_tag"),
    ],
)
def test_other_structured_outputs_are_refused_by_name(asked, param):
    with pytest.raises(BadRequest) as raised:
        structure(structured_outputs=asked)
    assert raised.value.param == param


def test_a_response_format_is_a_structure_too():
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}
    expected = Structure("json_schema", SCHEMA, "response_format.json_schema.schema")
    assert structure(response_format=wanted) == expected
    assert structure(response_format={"type": "json_object"}) == Structure("json_object")
    assert structure(response_format={"type": "text"}) is None


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"type": "json_schema"}, "response_format.json_schema"),
        ({"type": "json_schema", "json_schema": {"name": "x"}}, "response_format.json_schema.schema"),
        ({"type": "json_schema", "json_schema": {"name": "x", "schema": 5}}, "response_format.json_schema.schema"),
    ],
)
def test_a_response_format_without_a_schema_is_refused(asked, param):
    with pytest.raises(BadRequest) as raised:
        structure(response_format=asked)
    assert raised.value.param == param


def test_two_structures_at_once_are_refused():
    with pytest.raises(BadRequest, match="Send one of them"):
        structure(response_format={"type": "json_object"}, structured_outputs={"regex": "a"})


@pytest.mark.parametrize("key", ["x", "-1", "9" * 5000, str(2**31)])
def test_keys_of_logit_bias_are_token_ids(key):
    with pytest.raises(ValidationError):
        SamplingFields(logit_bias={key: 1})


@pytest.mark.parametrize("name", ["temperature", "top_p", "min_p", "presence_penalty", "repetition_penalty"])
def test_no_number_is_no_number(name):
    with pytest.raises(ValidationError):
        SamplingFields(**{name: float("nan")})
