import pytest

from tests.bench.prompts import TOKENS, prompts


class Words:
    """A tokenizer whose tokens are words."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def encode(self, text: str) -> list[int]:
        return [self._known.setdefault(word, len(self._known)) for word in text.split()]

    def decode(self, ids: list[int]) -> str:
        words = list(self._known)
        return " ".join(words[each] for each in ids)


def test_every_prompt_is_different_and_of_one_length() -> None:
    found = prompts(Words(), 0, 200)
    assert len(set(found)) == 200
    assert {len(each.split()) for each in found} == {TOKENS}


def test_a_later_level_begins_where_the_one_before_ended() -> None:
    assert prompts(Words(), 0, 30)[10:] == prompts(Words(), 10, 20)


def test_more_prompts_than_there_is_text_are_not_made_up() -> None:
    with pytest.raises(AssertionError, match="fewer than 1000000 pieces"):
        prompts(Words(), 0, 1_000_000)
