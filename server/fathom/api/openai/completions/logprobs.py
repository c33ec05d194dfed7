"""Logprobs as Completions has them: lists side by side, one entry a token."""

from collections.abc import Iterator, Sequence
from typing import Any

from fathom.core.events import TokenLogprob

Lists = dict[str, list[Any]]
LISTS = ("tokens", "token_logprobs", "top_logprobs", "text_offset")

_LEAST = -9999.0  # OpenAI's stand-in for minus infinity, which JSON does not have
_NEAR = 64  # bytes that a stop string may have held back before a token


def legacy(tokens: Sequence[TokenLogprob], text: str, begin: int) -> Lists:
    """`tokens` of a piece of `text` that begins at character `begin` of its choice."""
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [_finite(token.logprob) for token in tokens],
        "top_logprobs": [_top(token) for token in tokens],
        "text_offset": [begin + offset for offset in _offsets(tokens, text)],
    }


def _top(token: TokenLogprob) -> dict[str, float | None] | None:
    """The likeliest tokens, best first, and the drawn one. Of tokens that read the same, the best is shown."""
    if token.logprob is None:
        return None
    best: dict[str, float | None] = {}
    for each in (*token.top, token):
        best.setdefault(each.text, _finite(each.logprob))
    return best


def _offsets(tokens: Sequence[TokenLogprob], text: str) -> Iterator[int]:
    """The character that each token begins in. One that is not in the text is where the last one ended."""
    raw = text.encode()
    character_of = [at for at, character in enumerate(text) for _ in character.encode()] + [len(text)]
    end = 0
    for token in tokens:
        found = raw.find(token.raw, end, end + len(token.raw) + _NEAR)
        yield character_of[end if found < 0 else found]
        end = end if found < 0 else found + len(token.raw)


def _finite(logprob: float | None) -> float | None:
    return None if logprob is None else max(logprob, _LEAST)
