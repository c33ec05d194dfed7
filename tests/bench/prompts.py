"""Prompts of ordinary English, each different: the help texts that ship with Python, cut into pieces."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pydoc_data.topics import topics
from typing import Protocol

TOKENS = 64


class Tokenizer(Protocol):
    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: list[int]) -> str: ...


def prompts(tokenizer: Tokenizer, first: int, count: int) -> list[str]:
    """Numbers `first` to `first + count` of them, about TOKENS tokens each. Fails if there are not as many."""
    found = list(islice(_pieces(tokenizer), first, first + count))
    assert len(found) == count, f"the text has fewer than {first + count} pieces of {TOKENS} tokens"
    return found


def passage(start: int, length: int) -> str:
    """`length` words from word `start` on: a little more in tokens."""
    found = _words()
    return " ".join(found[(start + at) % len(found)] for at in range(length))


@cache
def _words() -> list[str]:
    return _prose(" ".join(text for _, text in sorted(topics.items()))).split()


def _pieces(tokenizer: Tokenizer) -> Iterator[str]:
    for _, text in sorted(topics.items()):
        ids = tokenizer.encode(_prose(text))
        for at in range(0, len(ids) - TOKENS + 1, TOKENS):
            yield tokenizer.decode(ids[at : at + TOKENS])


def _prose(text: str) -> str:
    """Without rulers and the line breaks of a terminal."""
    return re.sub(r"\s+", " ", re.sub(r"[*=~^-]{3,}", " ", text))
