"""The one reasoning state machine: splits what a model writes into its trace and its answer.

It is seeded from the rendered prompt (the template may have opened the trace) and fed token by token. Where a
delimiter is a token, only that token counts: a model that spells out "</think>" in its answer stays in its answer.
Where it is plain text, the text is scanned, and whatever may still become a delimiter is held back. A delimiter never
reaches a client; one that comes where it changes nothing is dropped. White space around the trace is dropped too, so
that no piece of a trace is blank (some clients throw blank pieces away).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fathom.core.events import ReasoningDelta, TextDelta
from fathom.engine.scanner import Found, Scanner

Delta = ReasoningDelta | TextDelta


@dataclass(frozen=True, slots=True)
class Delimiter:
    """Opens or closes a trace. `token_id` is None where the tokenizer has no one token for it."""

    text: str
    token_id: int | None = None


class ReasoningMachine:
    """`thinking` is the state; `reasoning_tokens` counts the tokens of the trace, its delimiters included.

    begun: the trace (or, not thinking, the answer) began in the prompt, so that its first white space means something.
    thought: the prompt holds a closed trace, so that the answer's first white space means nothing.
    once: there is one trace, and delimiters behind it are text: a string of a JSON answer may spell them.
    """

    def __init__(
        self,
        start: Delimiter,
        end: Delimiter,
        *,
        thinking: bool,
        begun: bool = False,
        thought: bool = False,
        once: bool = False,
    ) -> None:
        self.thinking = thinking
        self.reasoning_tokens = 0
        self._start, self._end = start, end
        text_level = [each.text for each in (start, end) if each.token_id is None]
        self._scanner = Scanner(text_level) if text_level else None
        self._thought = thinking or thought
        self._once, self._over = once, False
        self._trace_begun = begun and thinking
        self._answer_begun = begun and not thinking
        self._blank = ""  # white space that waits for something to stand before

    def feed(self, token_id: int, text: str) -> list[Delta]:
        """Take one token and the text it completes (it may be empty)."""
        before = self.thinking
        deltas = list(self._read(token_id, text))
        self.reasoning_tokens += before or self.thinking
        return deltas

    def finish(self, *, cut: bool) -> list[Delta]:
        """No more tokens will come. `cut`: the model did not end by itself, so half a delimiter may hang at the end."""
        if self._scanner is None:
            return []
        deltas = list(self._split(self._scanner.flush()))
        if self._over or not (cut or self.thinking):
            deltas += self._emit(self._unscanned())
        return deltas

    def _read(self, token_id: int, text: str) -> Iterator[Delta]:
        if self._over:
            yield from self._emit(self._unscanned() + text)
            return
        for delimiter in (self._start, self._end):
            if token_id == delimiter.token_id:
                yield from self._scan(text.removesuffix(delimiter.text))
                self._turn(delimiter is self._start)
                return
        yield from self._scan(text)

    def _scan(self, text: str) -> Iterator[Delta]:
        yield from self._emit(text) if self._scanner is None else self._split(self._scanner.feed(text))

    def _unscanned(self) -> str:
        """What was held back as half a delimiter."""
        held = self._scanner.held if self._scanner else ""
        if self._scanner:
            self._scanner.held = ""
        return held

    def _split(self, parts: Iterator[str | Found]) -> Iterator[Delta]:
        for part in parts:
            if not isinstance(part, Found):
                yield from self._emit(part)
            elif self._over:
                yield from self._emit(part.needle)
            else:
                self._turn(part.needle == self._start.text)

    def _turn(self, thinking: bool) -> None:
        if thinking != self.thinking:
            self._blank = "\n\n" if thinking and self._trace_begun else ""  # a second stretch is a new paragraph
        self._over = self._once and self.thinking and not thinking
        self.thinking = thinking
        self._thought = self._thought or thinking

    def _emit(self, text: str) -> Iterator[Delta]:
        yield from self._emit_trace(text) if self.thinking else self._emit_answer(text)

    def _emit_trace(self, text: str) -> Iterator[Delta]:
        text = self._blank + (text if self._trace_begun else text.lstrip())
        solid = text.rstrip()
        self._blank = text[len(solid) :]
        if solid:
            self._trace_begun = True
            yield ReasoningDelta(solid)

    def _emit_answer(self, text: str) -> Iterator[Delta]:
        if not self._answer_begun:
            text = (self._blank + text).lstrip() if self._thought else self._blank + text
            self._answer_begun = bool(text.strip())
            self._blank = "" if self._answer_begun else text
            if not self._answer_begun:
                return
        if text:
            yield TextDelta(text)
