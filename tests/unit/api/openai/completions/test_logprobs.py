from fathom.api.openai.completions.logprobs import legacy
from fathom.core.events import TokenLogprob
from hypothesis import given
from hypothesis import strategies as st


def token(text: str | bytes, logprob: float | None = -1.0, top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
    return TokenLogprob(1, text.encode() if isinstance(text, str) else text, logprob, top)


def offsets(text: str, *tokens: TokenLogprob, begin: int = 0) -> list[int]:
    return legacy(tokens, text, begin)["text_offset"]


@given(st.lists(st.text(min_size=1, max_size=4)), st.integers(0, 9))
def test_tokens_that_are_the_text_are_found_where_they_are(pieces, begin):
    starts = [begin + len("".join(pieces[:at])) for at in range(len(pieces))]
    assert offsets("".join(pieces), *map(token, pieces), begin=begin) == starts


def test_parts_of_a_character_are_where_it_is():
    snake = "🐍".encode()
    parts = [token(snake[:2]), token(snake[2:])]
    assert offsets("a🐍🐍b", token("a"), *parts, *parts, token("b")) == [0, 1, 1, 2, 2, 3]


def test_a_special_token_takes_no_place():
    assert offsets("ab", token("a"), token("<|im_end|>"), token("b")) == [0, 1, 1]


def test_a_token_behind_held_back_text_is_found():
    assert offsets("b c", token(" c")) == [1]


def test_the_drawn_token_is_among_the_likeliest_and_the_best_of_equal_texts_is_shown():
    top = (token("x", -0.1), token(b"\xff", -0.2), token(b"\xfe", -0.3))
    [shown] = legacy([token("y", -9.0, top)], "y", 0)["top_logprobs"]
    assert list(shown.items()) == [("x", -0.1), ("\ufffd", -0.2), ("y", -9.0)]


def test_an_impossible_token_has_a_number_that_json_has():
    lists = legacy([token("a", float("-inf"))], "a", 0)
    assert lists["token_logprobs"] == [-9999.0]
    assert lists["top_logprobs"] == [{"a": -9999.0}]


def test_the_first_token_of_a_prompt_has_none():
    lists = legacy([token("a", None)], "a", 0)
    assert (lists["token_logprobs"], lists["top_logprobs"]) == ([None], [None])
