import json

import pytest
from fathom.core.errors import BadRequest, Unsupported
from fathom.engine.json_schema import with_safe_lengths
from fathom.engine.schema_check import check_schema
from pydantic import BaseModel, Field

OBJECT = {"type": "object"}


def kind(name, **properties):
    return {"type": "object", "properties": {"kind": {"const": name}, **properties}, "required": ["kind"]}


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {"type": ["string", "null"], "minLength": 2, "title": "any note", "x-order": 3},
        {"type": "string", "enum": ["a", "b"]},
        {"type": ["integer", "null"], "enum": [1, None, 2.0]},
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "null"}], "minItems": 2, "maxItems": 2},
        {"type": "array", "uniqueItems": False},
        {"type": "object", "additionalProperties": {"type": "number", "minimum": 0.25}},
        {"type": "object", "patternProperties": {"^a": True}},
        {"$defs": {"A": {"$ref": "#/$defs/B"}, "B": OBJECT}, "$ref": "#/$defs/A", "description": "of a kind"},
        {"type": "object", "properties": {"next": {"$ref": "#"}}},
        {"allOf": [{"type": "object"}], "default": {}},
        {"oneOf": [{"type": "string"}, {"type": ["null", "integer"]}]},
        {"$defs": {"A": kind("a"), "B": kind("b")}, "oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}]},
        {"properties": {"uniqueItems": {"type": "string"}, "not": {}}, "type": "object"},
        {"const": {"not": 1, "type": "strin"}},
    ],
)
def test_a_schema_that_can_be_kept_passes(schema):
    check_schema(schema, "p")


def test_what_pydantic_writes_passes():
    class Part(BaseModel):
        name: str = Field(max_length=40, description="what it is")
        count: int | None = None
        tags: dict[str, list[float]] = {}

    class Whole(BaseModel):
        parts: list[Part] = Field(min_length=1)
        pair: tuple[int, str]

    check_schema(Whole.model_json_schema(), "p")


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"not": {}}, "'not'"),
        ({"type": "object", "dependentRequired": {"a": ["b"]}}, "dependentRequired"),
        ({"minLength": 2}, '"type": "string"'),
        ({"maximum": 2}, '"type": "number"'),
        ({"type": "string", "format": "idn-email"}, "idn-email"),
        ({"type": "string", "format": "date", "pattern": "a"}, "beside its 'pattern'"),
        ({"type": "string", "pattern": "a", "maxLength": 2}, "length beside"),
        ({"type": "object", "required": ["a"]}, "requires 'a'"),
        ({"enum": ["a"], "minLength": 2}, "'minLength' beside 'enum'"),
        ({"type": "string", "enum": ["a", 1]}, "'type' beside 'enum'"),
        ({"type": "integer", "const": True}, "'type' beside 'const'"),
        ({"$ref": "#/$defs/A", "minimum": 1, "$defs": {"A": {"type": "integer"}}}, "'minimum' beside '\\$ref'"),
        ({"anyOf": [{"type": "object"}], "allOf": [{}]}, "beside"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "overlap"),
        ({"oneOf": [kind("a"), kind("a", x=True)]}, "overlap"),
        ({"type": "object", "patternProperties": {"a": {}, "b": {}}}, "patternProperties"),
        ({"type": "object", "propertyNames": {"enum": ["a"]}, "properties": {"a": {}}}, "propertyNames"),
        ({"type": "object", "propertyNames": {"pattern": "a", "maxLength": 2}}, "propertyNames"),
        ({"type": "object", "minProperties": 2, "additionalProperties": True}, "come twice"),
        ({"type": "number", "minimum": 1e-7}, "six decimals"),
    ],
)
def test_what_would_only_half_be_kept_is_refused_by_name(schema, says):
    with pytest.raises(Unsupported, match=says) as refused:
        check_schema(schema, "p")
    assert refused.value.param == "p"


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ([], "not a JSON Schema"),
        ({"type": "strin"}, "type 'strin'"),
        ({"type": 5}, "type 5"),
        ({"type": []}, "type"),
        ({"anyOf": []}, "anyOf"),
        ({"enum": "a"}, "enum"),
        ({"type": "object", "properties": ["a"]}, "properties"),
        ({"type": "object", "required": "a"}, "required"),
        ({"type": "string", "maxLength": "5"}, "maxLength"),
        ({"$ref": "https://example.com/schema"}, "same document"),
        ({"$ref": "#/$defs/None"}, "no such place"),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {}}}, "escapes"),
        ({"$ref": 7}, "same document"),
        ({"$ref": "#"}, "only to itself"),
        ({"$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}, "$ref": "#/$defs/A"}, "only to itself"),
    ],
)
def test_what_is_no_schema_is_refused(schema, says):
    with pytest.raises(BadRequest, match=says) as refused:
        check_schema(schema, "p")
    assert not isinstance(refused.value, Unsupported)


def test_the_place_is_named_however_deep():
    schema = {"$defs": {"A": {"type": "array", "items": {"anyOf": [{}, {"not": {}}]}}}}
    with pytest.raises(Unsupported, match=r"#/\$defs/A/items/anyOf/1 uses 'not'"):
        check_schema(schema, "p")


def test_a_reference_to_an_odd_place_is_checked_there():
    with pytest.raises(Unsupported, match="#/parts/A uses 'not'"):
        check_schema({"parts": {"A": {"not": {}}}, "$ref": "#/parts/A"}, "p")


def test_lengths_become_patterns_in_schemas_and_nowhere_else():
    text = {"type": "string", "minLength": 1}
    schema = {"type": "object", "properties": {"a": {"anyOf": [text]}, "minLength": {"const": text}}, "default": text}
    safe = with_safe_lengths(schema)
    assert safe["properties"]["a"]["anyOf"] == [{"type": "string", "pattern": r"^[\s\S]{1,}$"}]
    assert safe["properties"]["minLength"] == {"const": text}
    assert safe["default"] == text
    assert json.dumps(schema).count("minLength") == 4
