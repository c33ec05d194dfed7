"""Token ids to text, one token at a time, and the stop strings of the answer."""

import json
from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from fathom.engine.scanner import Found, Scanner


class Detokenizer:
    """The text that each further token completes; empty while a character's bytes are not all there.

    The prompt primes the stream, since some tokenizers write the first word of a text differently. Tokens that are
    text wherever they stand do not go through it: to look them up is faster.
    """

    def __init__(
        self, token_bytes: "TokenBytes", prompt_ids: Sequence[int], *, skip_special_tokens: bool = True
    ) -> None:
        self._tokens, self._tokenizer = token_bytes, token_bytes.tokenizer
        self._stream = DecodeStream(ids=list(prompt_ids), skip_special_tokens=skip_special_tokens)
        self._holds = False

    def step(self, token_id: int) -> str:
        if not self._holds and (alone := self._tokens.text(token_id)):
            return alone
        text = self._stream.step(self._tokenizer, token_id) or ""
        self._holds = not text
        return text


class TokenBytes:
    """The bytes of single tokens, which may be parts of characters.

    Vocabularies spell bytes in one of two ways: byte-level BPE (GPT-2) writes each byte as a printable character,
    SentencePiece writes a byte that is no character as <0xAB>, and a space as U+2581.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        decoders = _decoders(tokenizer)
        self._byte_level, self._joins = "ByteLevel" in decoders, decoders == {"ByteLevel"}
        self._added = set(tokenizer.get_added_tokens_decoder())
        self._known: dict[int, bytes] = {}
        self._texts: dict[int, str] = {}

    def __call__(self, token_id: int) -> bytes:
        if token_id not in self._known:
            self._known[token_id] = self._look_up(token_id)
        return self._known[token_id]

    def text(self, token_id: int) -> str:
        """The token's text, if that is the same wherever it stands; else nothing."""
        text = self._texts.get(token_id)
        if text is None:
            text = self._texts[token_id] = self._text_alone(token_id)
        return text

    def _text_alone(self, token_id: int) -> str:
        token = self.tokenizer.id_to_token(token_id) or ""
        if not self._joins or token_id in self._added or not all(char in _BYTE_OF for char in token):
            return ""
        try:
            return self(token_id).decode()
        except UnicodeDecodeError:
            return ""

    def _look_up(self, token_id: int) -> bytes:
        token = self.tokenizer.id_to_token(token_id) or ""
        if token_id in self._added:
            return token.encode()
        if self._byte_level:
            return b"".join(_BYTE_OF.get(char) or char.encode() for char in token)
        if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            return bytes([int(token[3:5], 16)])
        return token.replace("\u2581", " ").encode()


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


def _decoders(tokenizer: Tokenizer) -> set[str]:
    """What makes text of tokens, one after the other."""
    decoder = json.loads(tokenizer.to_str())["decoder"] or {}
    return {each["type"] for each in decoder.get("decoders", [decoder] if decoder else [])}


def _byte_alphabet() -> dict[str, bytes]:
    """GPT-2's: printable Latin-1 characters stand for themselves, the other bytes for characters from 256 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): bytes([byte]) for byte in printable} | {
        chr(256 + at): bytes([byte]) for at, byte in enumerate(others)
    }


_BYTE_OF = _byte_alphabet()
