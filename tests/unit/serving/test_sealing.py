import base64

import pytest
from fathom.serving.sealing import Seals
from hypothesis import given
from hypothesis import strategies as st

SEALS = Seals(b"k" * 32)
OTHER = Seals(b"o" * 32)
ANY_TEXT = st.text(st.characters(exclude_categories=()))  # half pairs of surrogates among them


@given(ANY_TEXT)
def test_a_signature_is_verified_for_the_text_it_was_made_for(trace: str) -> None:
    assert SEALS.verify(trace, SEALS.sign(trace))


@given(ANY_TEXT, ANY_TEXT)
def test_a_signature_is_worth_nothing_for_another_text(trace: str, other: str) -> None:
    assert SEALS.verify(other, SEALS.sign(trace)) is (other == trace)


@given(ANY_TEXT)
def test_no_text_is_a_signature_by_chance(signature: str) -> None:
    assert not SEALS.verify("a trace", signature)


def test_another_key_signs_differently() -> None:
    assert not OTHER.verify("a trace", SEALS.sign("a trace"))


@pytest.mark.parametrize("bit", range(33 * 8))
def test_a_signature_with_a_bit_flipped_is_refused(bit: int) -> None:
    raw = bytearray(base64.b64decode(SEALS.sign("a trace")))
    raw[bit // 8] ^= 1 << bit % 8
    assert not SEALS.verify("a trace", base64.b64encode(raw).decode())


def test_a_signature_is_the_same_every_time_and_says_its_version() -> None:
    assert SEALS.sign("a trace") == SEALS.sign("a trace")
    assert base64.b64decode(SEALS.sign("a trace"))[0] == 1


@given(ANY_TEXT)
def test_what_is_sealed_is_opened_again(text: str) -> None:
    assert SEALS.open(SEALS.seal(text)) == text


def test_what_is_sealed_shows_nothing_of_the_text_and_differs_every_time() -> None:
    sealed = SEALS.seal("secret thoughts")
    assert b"secret" not in base64.urlsafe_b64decode(sealed)
    assert sealed != SEALS.seal("secret thoughts")


@given(ANY_TEXT)
def test_no_text_is_sealed_by_chance(sealed: str) -> None:
    assert SEALS.open(sealed) is None


def test_what_another_key_sealed_stays_closed() -> None:
    assert OTHER.open(SEALS.seal("a trace")) is None


def test_what_is_sealed_cannot_be_changed() -> None:
    raw = bytearray(base64.urlsafe_b64decode(SEALS.seal("a trace")))
    for at in range(len(raw)):
        changed = bytes(raw[:at]) + bytes([raw[at] ^ 1]) + bytes(raw[at + 1 :])
        assert SEALS.open(base64.urlsafe_b64encode(changed).decode()) is None


def test_a_signature_opens_nothing_and_what_is_sealed_signs_nothing() -> None:
    assert SEALS.open(SEALS.sign("a trace")) is None
    assert not SEALS.verify("a trace", SEALS.seal("a trace"))
