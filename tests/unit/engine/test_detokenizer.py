from fathom.engine.detokenizer import Detokenizer, StopStrings
from hypothesis import given
from hypothesis import strategies as st


def test_bytes_of_one_character_wait_for_each_other(tokenizer):
    text = "a 🐍 é"
    ids = tokenizer.encode(text, add_special_tokens=False)
    detokenizer = Detokenizer(tokenizer.backend_tokenizer, [])
    pieces = [detokenizer.step(token) for token in ids]
    assert "".join(pieces) == text
    assert "" in pieces
    assert not any("\ufffd" in piece for piece in pieces)


def test_special_tokens_are_no_text(tokenizer):
    detokenizer = Detokenizer(tokenizer.backend_tokenizer, [])
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
