"""Logprobs of single tokens, and which piece of text each belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from fathom.core.events import TokenLogprob
from fathom.engine.detokenizer import TokenBytes


class EngineLogprob(Protocol):
    """What vLLM reports of one token at one place."""

    @property
    def logprob(self) -> float: ...

    @property
    def rank(self) -> int | None: ...


def token_logprob(
    token_id: int, alternatives: Mapping[int, EngineLogprob] | None, most: int, token_bytes: TokenBytes
) -> TokenLogprob:
    """`alternatives`: vLLM's for one place, the token itself among them; None for the first token of a prompt."""
    if not alternatives:
        return TokenLogprob(token_id, token_bytes(token_id), None)
    best = sorted(alternatives.items(), key=lambda entry: entry[1].rank or len(alternatives) + 1)
    top = tuple(TokenLogprob(each, token_bytes(each), lp.logprob) for each, lp in best[:most])
    return TokenLogprob(token_id, token_bytes(token_id), alternatives[token_id].logprob, top)


@dataclass(slots=True)
class _Entry:
    begins: int
    logprob: TokenLogprob


class TokenLog:
    """Hands out the tokens of a stream with the pieces of text that they begin in.

    Between token and piece, text may be held back or dropped (delimiters, blanks, tool calls), but its order stays: a
    piece is looked for in the text that has not been handed out yet, and what comes before it was dropped.
    """

    def __init__(self) -> None:
        self._text = ""
        self._entries: list[_Entry] = []

    def push(self, logprob: TokenLogprob, text: str) -> None:
        """The next token, and the text that it completed (it may be empty: the text then comes with a later one)."""
        self._entries.append(_Entry(len(self._text), logprob))
        self._text += text

    def take(self, piece: str) -> tuple[TokenLogprob, ...]:
        """The tokens that begin inside the next occurrence of `piece`, or reach into it from dropped text. Those before
        it belong to no piece."""
        begin = self._text.find(piece)
        if begin < 0:
            return ()
        end = begin + len(piece)
        ends = [*(each.begins for each in self._entries[1:]), len(self._text)]
        taken = tuple(
            each.logprob
            for each, its_end in zip(self._entries, ends, strict=False)
            if each.begins < end and (each.begins >= begin or its_end > begin)
        )
        self._entries = [_Entry(each.begins - end, each.logprob) for each in self._entries if each.begins >= end]
        self._text = self._text[end:]
        return taken
