"""Reads harmony, the format of gpt-oss: a turn is a row of messages, and each header says whom its message is for.

    <|start|>assistant<|channel|>analysis<|message|>...<|end|>                     the trace
    <|start|>assistant<|channel|>commentary<|message|>...<|end|>                   text for the user, before a call
    <|start|>assistant<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>{...}<|call|>
    <|start|>assistant<|channel|>final<|message|>...<|return|>                     the answer

The recipient may stand in front of the channel, too. A message to anyone but a function (the model's own python or
browser) is part of the trace. The prompt ends behind "assistant", or inside a message that the model is to continue.
Where a header is broken, what follows is the answer. No header and no markup ever reaches a client.
Source: docs/format.md of openai/harmony.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from uuid import uuid4

from tokenizers import Tokenizer

from fathom.core.errors import StartupError
from fathom.core.events import Piece, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStart

_SPELLED = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|call|>", "<|return|>", "<|constrain|>")
_CHANNELS = ("analysis", "commentary", "final")
_FUNCTIONS = "functions."
_PARAGRAPH = "\n\n"


@dataclass(frozen=True, slots=True)
class HarmonyTokens:
    """Ids of the special tokens."""

    start: int
    channel: int
    message: int
    end: int
    call: int
    return_: int
    constrain: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "HarmonyTokens":
        """Raises StartupError for a tokenizer that lacks one."""
        ids = [tokenizer.token_to_id(token) for token in _SPELLED]
        if None in ids:
            raise StartupError(f"the tokenizer has no token for {_SPELLED[ids.index(None)]}: this is no harmony model")
        return cls(*(token_id for token_id in ids if token_id is not None))


def open_header(tokenizer: Tokenizer, tokens: HarmonyTokens, prompt_ids: Sequence[int]) -> str:
    """The header of the message that a prompt ends in; "" if it ends in a header, as prompts mostly do."""
    edges = {tokens.start, tokens.message, tokens.end, tokens.call, tokens.return_}
    at = next((at for at in range(len(prompt_ids) - 1, -1, -1) if prompt_ids[at] in edges), None)
    if at is None or prompt_ids[at] != tokens.message:
        return ""
    begin = next((begin for begin in range(at - 1, -1, -1) if prompt_ids[begin] == tokens.start), -1)
    ids = prompt_ids[begin + 1 : at]
    words = [" " if id in astuple(tokens) else tokenizer.decode([id], skip_special_tokens=False) for id in ids]
    return "".join(words).strip()


class HarmonyMachine:
    """`thinking` is the state; `reasoning_tokens` counts the tokens of the trace, its headers and end marks included.

    within: the header of the message that the prompt ends in, if it ends in one. may_call: there are functions; else a
    message to one is part of the trace.
    """

    def __init__(self, tokens: HarmonyTokens, *, within: str = "", may_call: bool = True) -> None:
        self.reasoning_tokens = 0
        self._may_call = may_call
        self._tokens = tokens
        self._spelled = dict(zip(astuple(tokens), _SPELLED, strict=True))
        self._trace, self._answer, self._calls = _Trace(), _Answer(), 0
        self._message: _Trace | _Answer | _Call | None = None
        self._header: str | None = ""  # of the message to come; None inside a message, and between two
        self._untouched = not within  # nothing but text has come since the prompt
        self._marks = 0  # tokens since the last message
        self._waiting = list(self._open(within)) if within else []
        self._trace.begun = self.thinking

    @property
    def thinking(self) -> bool:
        return self._message is self._trace

    def feed(self, token_id: int, text: str) -> list[Piece]:
        """Take one token and the text it completes (it may be empty)."""
        before = self.thinking
        pieces = self._take_waiting() + list(self._read(token_id, text))
        self._marks += 1
        if before:
            self.reasoning_tokens += 1
        elif self.thinking:
            self.reasoning_tokens += self._marks
        if self._message is not None:
            self._marks = 0
        return pieces

    def finish(self, *, cut: bool) -> list[Piece]:
        """No more tokens will come. `cut`: the model did not end by itself, so its last message may lack its end."""
        return self._take_waiting() + list(self._close(cut=cut))

    def _take_waiting(self) -> list[Piece]:
        waiting, self._waiting = self._waiting, []
        return waiting

    def _read(self, token_id: int, text: str) -> Iterator[Piece]:
        spelled = self._spelled.get(token_id)
        if spelled is None:
            yield from self._write(text)
        else:
            yield from self._write(text.removesuffix(spelled))  # bytes of a broken character may hang before it
            yield from self._mark(token_id)
            self._untouched = False

    def _mark(self, token_id: int) -> Iterator[Piece]:
        tokens = self._tokens
        if token_id in (tokens.channel, tokens.constrain, tokens.message) and self._message is None:
            self._header = f"{self._header or ''} "
            if token_id == tokens.message:
                yield from self._open(self._header)
        elif token_id not in (tokens.constrain, tokens.message):
            yield from self._close()
            if token_id in (tokens.start, tokens.channel):
                self._header, self._marks = "", 0

    def _write(self, text: str) -> Iterator[Piece]:
        if self._message is not None:
            yield from self._message.write(text)
        elif self._header is None:
            yield from self._answer_with(text.lstrip())
        else:
            self._header += text
            if self._untouched and not _may_be_header(self._header.strip()):
                yield from self._answer_with(self._header)

    def _answer_with(self, text: str) -> Iterator[Piece]:
        if text:
            yield from self._open("final")
            yield from self._answer.write(text)

    def _open(self, header: str) -> Iterator[Piece]:
        words = header.split()
        channel = next((word for word in words if word in _CHANNELS), "final")
        recipient = next((word[3:] for word in words if word.startswith("to=")), "") or "all"
        self._header = None
        if self._may_call and recipient.startswith(_FUNCTIONS) and recipient != _FUNCTIONS:
            self._message = _Call(self._calls)
            self._calls += 1
            yield ToolCallStart(self._message.call, f"call_{uuid4().hex[:24]}", recipient.removeprefix(_FUNCTIONS))
        else:
            self._message = self._trace if recipient != "all" or channel == "analysis" else self._answer
            self._message.open()

    def _close(self, *, cut: bool = False) -> Iterator[Piece]:
        if isinstance(self._message, _Call) and not cut:
            yield from self._message.close()
        bare, self._header, self._message = (self._header or "").strip(), None, None
        if bare and self._untouched and not cut and not bare.startswith("to="):
            yield TextDelta(bare)


def _may_be_header(text: str) -> bool:
    """Whether text behind the prompt's "assistant" may be, or become, a header, and not an answer without one."""
    return text.startswith("to=") or any(each.startswith(text) for each in ("to=", *_CHANNELS))


class _Trace:
    """Its messages are paragraphs. White space waits for something to stand before, so that no piece is blank."""

    def __init__(self) -> None:
        self.begun = False
        self._blank = ""

    def open(self) -> None:
        self._blank = _PARAGRAPH if self.begun else ""

    def write(self, text: str) -> Iterator[Piece]:
        text = self._blank + (text if self.begun else text.lstrip())
        solid = text.rstrip()
        self._blank = text[len(solid) :]
        if solid:
            self.begun = True
            yield ReasoningDelta(solid)


class _Answer:
    """Its messages are paragraphs, too, and otherwise as the model wrote them."""

    def __init__(self) -> None:
        self._begun = False
        self._gap = ""

    def open(self) -> None:
        self._gap = _PARAGRAPH if self._begun else ""

    def write(self, text: str) -> Iterator[Piece]:
        if text:
            self._begun = True
            yield TextDelta(self._gap + text)
            self._gap = ""


class _Call:
    """The arguments of one call, as the model wrote them; a model that wrote none meant an empty object."""

    def __init__(self, call: int) -> None:
        self.call = call
        self._blank = True

    def write(self, text: str) -> Iterator[Piece]:
        self._blank = self._blank and not text.strip()
        if text:
            yield ToolCallDelta(self.call, text)

    def close(self) -> Iterator[Piece]:
        if self._blank:
            yield ToolCallDelta(self.call, "{}")
