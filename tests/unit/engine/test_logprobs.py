from fathom.core.events import TokenLogprob
from fathom.engine.detokenizer import Detokenizer, TokenBytes
from fathom.engine.logprobs import TokenLog
from hypothesis import given
from hypothesis import strategies as st

from tests.tokenizers import small_tokenizer

TOKENIZER = small_tokenizer()


def log_of(*texts: str) -> TokenLog:
    log = TokenLog()
    for at, text in enumerate(texts):
        log.push(TokenLogprob(at, text.encode(), -1.0), text)
    return log


def ids(taken) -> list[int]:
    return [each.token_id for each in taken]


def test_tokens_go_with_the_piece_that_they_begin_in():
    log = log_of("the", " sky", " is")
    assert ids(log.take("the s")) == [0, 1]
    assert ids(log.take("ky is")) == [2]


def test_dropped_text_takes_its_tokens_with_it():
    log = log_of("a", "</", "think", ">", "\n\n", "b")
    assert ids(log.take("a")) == [0]
    assert ids(log.take("b")) == [5]


def test_a_token_whose_blank_was_dropped_goes_with_the_rest_of_it():
    log = log_of(" The", " sky", ">", " to", "", "é", " be")
    assert ids(log.take("The sky")) == [0, 1]
    assert ids(log.take("toé")) == [3, 4, 5]
    assert ids(log.take("be")) == [6]


def test_a_token_goes_with_one_piece_only():
    log = log_of("abc", "d")
    assert [ids(log.take(piece)) for piece in ("a", "c", "d")] == [[0], [], [1]]


def test_a_token_without_text_goes_with_the_character_it_began():
    log = log_of("", "", "é", "x")
    assert ids(log.take("éx")) == [0, 1, 2, 3]


def test_a_piece_that_no_token_made_has_no_logprobs():
    assert log_of("a").take("zz") == ()


@given(st.text(max_size=30))
def test_the_bytes_of_tokens_are_the_bytes_of_the_text(text):
    token_bytes = TokenBytes(TOKENIZER.backend_tokenizer)
    encoded = TOKENIZER.encode(text, add_special_tokens=False)
    assert b"".join(token_bytes(token_id) for token_id in encoded) == text.encode()


def test_an_added_token_is_its_own_text():
    token_bytes = TokenBytes(TOKENIZER.backend_tokenizer)
    assert token_bytes(TOKENIZER.convert_tokens_to_ids("<think>")) == b"<think>"


def test_the_detokenizer_waits_for_whole_characters():
    steps = Detokenizer(TokenBytes(TOKENIZER.backend_tokenizer), [])
    texts = [steps.step(token_id) for token_id in TOKENIZER.encode("🐍", add_special_tokens=False)]
    assert texts[-1] == "🐍"
    assert set(texts[:-1]) == {""}
