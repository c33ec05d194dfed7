import pytest
from fathom.core.errors import BadRequest, Unsupported
from fathom.engine.tag_check import check_format, read_tag, safe

JSON = {"type": "json_schema", "json_schema": {"type": "string", "maxLength": 3}}


def test_formats_may_be_nested():
    tag = {"type": "tag", "begin": {"type": "token", "token": 1}, "content": JSON, "end": ["a", "b"]}
    rules = {"type": "dispatch", "rules": [["x", {"type": "any_text", "excludes": ["y"]}]]}
    check_format(
        {"type": "sequence", "elements": [tag, rules, {"type": "triggered_tags", "triggers": [], "tags": []}]}, "p"
    )


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"type": "sequence", "elements": [{"type": "anything"}]}, r"format.elements\[0\] must be"),
        ({"type": "sequence", "elements": "a"}, r"format.elements\[0\] must be"),
        ({"type": ["any_text"]}, "format must be"),
        ({"type": "dispatch", "rules": [["x"]]}, r"format.rules\[0\] must be"),
        ({"type": "any_text", "exclude": ["a"]}, "no field 'exclude'"),
        ({"type": "tag", "begin": {"type": "regex2"}, "content": JSON, "end": ""}, "format.begin must be"),
    ],
)
def test_an_unknown_format_or_field_is_refused_at_its_place(found, says):
    with pytest.raises(BadRequest, match=says):
        check_format(found, "p")


def test_the_schemas_inside_keep_the_same_rules():
    with pytest.raises(Unsupported, match="uses 'not'") as refused:
        check_format({"type": "star", "content": {"type": "json_schema", "json_schema": {"not": {}}}}, "p")
    assert refused.value.param == "p.format.content.json_schema"


def test_the_schemas_inside_are_made_safe():
    made = safe({"type": "sequence", "elements": [JSON, {"type": "const_string", "value": "maxLength"}]})
    assert made["elements"][0]["json_schema"] == {"type": "string", "pattern": r"^[\s\S]{0,3}$"}
    assert made["elements"][1] == {"type": "const_string", "value": "maxLength"}


@pytest.mark.parametrize(
    "tag",
    [
        {"structures": [], "triggers": ["<"]},
        {"structures": [{"begin": "<", "end": ">"}], "triggers": ["<"]},
        {"structures": [{"begin": "<", "schema": {}, "end": ">"}]},
        {"structures": "<", "triggers": ["<"]},
    ],
)
def test_half_a_tag_of_the_older_shape_is_refused(tag):
    with pytest.raises(BadRequest, match="structures"):
        read_tag(tag, "p")
