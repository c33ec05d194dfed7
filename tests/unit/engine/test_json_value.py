import json

import pytest
from fathom.engine.json_value import JsonValue
from hypothesis import given
from hypothesis import strategies as st

scalars = st.none() | st.booleans() | st.integers() | st.text('a"\\{}[],:é🙂\n')
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text('a"{'), inner), max_leaves=8)
objects = st.dictionaries(st.text('a"{'), values)


@given(objects, st.text('}], "x'), st.integers(1, 5))
def test_nothing_behind_the_end_is_taken(value, tail, step):
    text = json.dumps(value)
    follower = JsonValue()
    taken = "".join(follower.feed((text + tail)[at : at + step]) for at in range(0, len(text + tail), step))
    assert taken == follower.text == text
    assert follower.missing == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{", {}),
        ('{"a": [1, {"b": 2', {"a": [1, {"b": 2}]}),
        ('{"a": "b', {"a": "b"}),
        ('{"a": "b\\\\', {"a": "b\\"}),
        ('["a\\"]', ['a"]']),
    ],
)
def test_what_is_missing_closes_the_value(text, value):
    follower = JsonValue()
    follower.feed(text)
    assert json.loads(text + follower.missing) == value


@pytest.mark.parametrize(("text", "taken"), [("null}", "null"), ('"a"}', '"a"'), ("12, 3", "12"), (" {} ", " {}")])
def test_a_value_that_is_no_object_ends_too(text, taken):
    assert JsonValue().feed(text) == taken
