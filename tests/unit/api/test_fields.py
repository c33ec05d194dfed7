import pytest
from fathom.api.fields import encodable, printable
from fathom.core.errors import BadRequest


def test_half_a_character_is_named():
    assert encodable("é😀", "x") == "é😀"
    with pytest.raises(BadRequest, match="surrogate") as raised:
        encodable("a\ud83d", "x")
    assert raised.value.param == "x"


def test_what_is_printed_is_cut_and_can_be_encoded():
    assert printable("é" * 10, 3) == "ééé"
    assert printable("a\ud83d", 9) == "a\\ud83d"
