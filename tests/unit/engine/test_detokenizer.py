from fathom.engine.detokenizer import Detokenizer, StopStrings, TokenBytes
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from tokenizers.decoders import DecodeStream

from tests.tokenizers import small_tokenizer

TOKENIZER = small_tokenizer()
TOKEN_BYTES = TokenBytes(TOKENIZER.backend_tokenizer)
CHARACTERS = TOKENIZER.encode("a 🐍 é", add_special_tokens=False)


def test_bytes_of_one_character_wait_for_each_other(tokenizer):
    text = "a 🐍 é"
    ids = tokenizer.encode(text, add_special_tokens=False)
    detokenizer = Detokenizer(TokenBytes(tokenizer.backend_tokenizer), [])
    pieces = [detokenizer.step(token) for token in ids]
    assert "".join(pieces) == text
    assert "" in pieces
    assert not any("\ufffd" in piece for piece in pieces)


@given(st.lists(st.one_of(st.integers(0, 405), st.sampled_from(CHARACTERS)), max_size=30), st.booleans())
def test_looked_up_tokens_are_the_same_text_as_decoded_ones(ids, skips):
    """Whatever a model says: parts of characters in any order, special and added tokens, ids that are none."""
    backend = TOKENIZER.backend_tokenizer
    detokenizer = Detokenizer(TOKEN_BYTES, [5], skip_special_tokens=skips)
    stream = DecodeStream(ids=[5], skip_special_tokens=skips)
    for each in ids:
        assert detokenizer.step(each) == (stream.step(backend, each) or "")


def test_a_vocabulary_of_words_is_decoded_in_its_place():
    backend = Tokenizer(models.WordLevel({"\u2581a": 0, "b": 1}, unk_token="b"))
    backend.decoder = decoders.Metaspace()
    detokenizer = Detokenizer(TokenBytes(backend), [])
    assert [detokenizer.step(0), detokenizer.step(0)] == ["a", " a"]


def test_special_tokens_are_no_text(tokenizer):
    detokenizer = Detokenizer(TokenBytes(tokenizer.backend_tokenizer), [])
    assert detokenizer.step(tokenizer.convert_tokens_to_ids("<|im_end|>")) == ""


@given(st.text("ab ", max_size=12), st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3), st.data())
def test_stop_strings_cut_before_the_first_hit_however_the_text_comes(text, stop, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    stops = StopStrings(stop)
    out = "".join(stops.feed(text[start:end]) for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True))
    out += stops.flush()
    first = min((text.find(each) for each in stop if each in text), default=len(text))
    assert out == text[:first]
    assert (stops.hit is not None) == (first < len(text))


def test_without_stop_strings_text_passes_untouched():
    stops = StopStrings(())
    assert stops.feed("anything") == "anything"
    assert stops.flush() == ""
