"""Token ids to text, one token at a time, and the stop strings of the answer."""

from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from fathom.engine.scanner import Found, Scanner


class Detokenizer:
    """The text that each further token completes; empty while a character's bytes are not all there.

    The prompt primes the stream, since some tokenizers write the first word of a text differently.
    """

    def __init__(self, tokenizer: Tokenizer, prompt_ids: Sequence[int], *, skip_special_tokens: bool = True) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(ids=list(prompt_ids), skip_special_tokens=skip_special_tokens)

    def step(self, token_id: int) -> str:
        return self._stream.step(self._tokenizer, token_id) or ""


class StopStrings:
    """Ends an answer before the first of its stop strings. The trace does not pass through here."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._scanner = Scanner(stop) if stop else None
        self.hit: str | None = None

    def feed(self, text: str) -> str:
        """The part of the answer that is safe to send. After a hit: nothing more."""
        if self._scanner is None:
            return text
        return self._until_hit(self._scanner.feed(text)) if self.hit is None else ""

    def flush(self) -> str:
        """What was held back and turned out to be no stop string."""
        if self._scanner is None or self.hit is not None:
            return ""
        return self._until_hit(self._scanner.flush()) + ("" if self.hit else self._scanner.held)

    def _until_hit(self, parts: Iterable[str | Found]) -> str:
        text = ""
        for part in parts:
            if isinstance(part, Found):
                self.hit = part.needle
                break
            text += part
        return text
