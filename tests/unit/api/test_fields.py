import pytest
from fathom.api.fields import MOST_PARTS, encodable, few_parts, printable
from fathom.core.errors import BadRequest
from pydantic_core import PydanticCustomError


def test_half_a_character_is_named():
    assert encodable("é😀", "x") == "é😀"
    with pytest.raises(BadRequest, match="surrogate") as raised:
        encodable("a\ud83d", "x")
    assert raised.value.param == "x"


def test_what_is_printed_is_cut_and_can_be_encoded():
    assert printable("é" * 10, 3) == "ééé"
    assert printable("a\ud83d", 9) == "a\\ud83d"


@pytest.mark.parametrize("parts", [[{}] * MOST_PARTS, [{"content": [{}] * (MOST_PARTS - 1)}]])
def test_parts_are_counted_in_all_messages_and_inside_each_other(parts):
    assert few_parts([{"content": parts}]) == [{"content": parts}]
    with pytest.raises(PydanticCustomError, match=str(MOST_PARTS)):
        few_parts([{"content": parts}, {"content": [1]}])


@pytest.mark.parametrize("messages", [None, 1, "x", {}, [None, 1, "x", {}], [{"content": "x"}], [{"content": [None]}]])
def test_what_is_no_message_is_left_to_the_schema(messages):
    assert few_parts(messages) == messages
