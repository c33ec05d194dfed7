import pytest
from fathom.engine.brief_schema import brief

STRING = {"type": "string"}
SHORT = {"type": "string", "maxLength": 100}


@pytest.mark.parametrize(
    ("schema", "narrower"),
    [
        (STRING, SHORT),
        ({"type": "array", "items": STRING}, {"type": "array", "items": SHORT, "maxItems": 4}),
        ({"type": "object", "properties": {"a": STRING}}, {"type": "object", "properties": {"a": SHORT}}),
        ({"anyOf": [STRING, {"type": "null"}]}, {"anyOf": [SHORT, {"type": "null"}]}),
        ({"$defs": {"a": STRING}, "$ref": "#/$defs/a"}, {"$defs": {"a": SHORT}, "$ref": "#/$defs/a"}),
        ({"type": "object", "additionalProperties": STRING}, {"type": "object", "additionalProperties": SHORT}),
    ],
)
def test_what_is_open_is_bounded_at_any_depth(schema, narrower):
    assert brief(schema) == narrower


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "maxLength": 5000},
        {"type": "string", "enum": ["a"]},
        {"type": "string", "pattern": "a+"},
        {"type": "array", "maxItems": 50},
        {"enum": [{"type": "string"}]},
        {"not": STRING},
        {"type": "object", "properties": {"type": {"const": "string"}}},
        {"type": ["string", "null"]},
        True,
    ],
)
def test_what_is_bounded_or_no_schema_stays(schema):
    assert brief(schema) == schema


def test_a_bound_leaves_room_for_the_least_that_is_asked():
    assert brief({"type": "string", "minLength": 300})["maxLength"] == 300
    assert brief({"type": "array", "minItems": 9})["maxItems"] == 9
