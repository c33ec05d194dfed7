"""Splits an answer into its text and its tool calls, while it is written.

Around one of vLLM's parsers, which are not all sound: they hold text back for ever, lose calls or the ends of
arguments, or give up half way. So at the end the message is read again as a whole, and whatever the stream did not
give is given then. A parser that fails falls silent, and all is left to that second reading.
"""

import json
import re
import secrets
from collections.abc import Iterator, Sequence
from functools import lru_cache

from transformers import PreTrainedTokenizerBase
from vllm.tool_parsers import ToolParser

from fathom.core.events import TextDelta, ToolCallDelta, ToolCallStart
from fathom.core.generation import Tool
from fathom.engine.json_value import JsonValue
from fathom.engine.tool_parsers import CallPart, MessageParser, ParserFailed, Step, Whole

ToolPiece = TextDelta | ToolCallStart | ToolCallDelta

_LONG = 2048  # characters; of a longer message with calls, the parser is given a sixteenth at a time
_SHARE = 16  # since parsers begin anew at every piece, and some of them are slow at it

_MARKUP = ("<", "[")  # what tool markup begins with, where it is more than bare JSON


class ToolReader:
    """Reads one choice. `calls` counts its tool calls; with `parallel` off, those behind the first are dropped.

    The text has to come with its special tokens, since parsers look for them; one that is no tool markup is dropped
    here. Blank text around and between calls is no content.
    """

    def __init__(
        self,
        parser_cls: type[ToolParser],
        tokenizer: PreTrainedTokenizerBase,
        tools: Sequence[Tool],
        *,
        parallel: bool = True,
    ) -> None:
        self._parser = MessageParser(parser_cls, tokenizer, tools)
        self._special = _special_tokens(tokenizer)
        self._names = {tool.name for tool in tools}
        self._parallel = parallel
        self._silent = False
        self._text = ""
        self._waiting = ""  # the end of the text, which the parser has not seen, and its tokens
        self._ids: list[int] = []
        self._said = ""  # answer text, as the parser gave it
        self._blank = ""  # white space that waits for something to stand before
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call | None] = {}

    @property
    def calls(self) -> int:
        return len(self._calls)

    def feed(self, text: str, token_id: int) -> list[ToolPiece]:
        """Take one token and the text it completes (it may be empty)."""
        self._ids.append(token_id)
        self._text += text
        self._waiting += text
        early = self._calls and len(self._waiting) < (len(self._text) - _LONG) / _SHARE
        return list(self._read_on()) if self._waiting and not early else []

    def finish(self, *, cut: bool) -> list[ToolPiece]:
        """No more text will come. `cut`: the model did not end by itself, so its last call may be a half one."""
        pieces = list(self._read_on())
        try:
            if not (cut or self._silent):
                pieces += self._read(self._parser.finish())
            whole = Whole("") if self._is_sound else self._parser.whole(self._text)
        except ParserFailed:
            whole = Whole(self._text)
        pieces += self._say(self._unsaid(whole, cut))
        pieces += self._complete(whole, cut)
        if self._blank and not self._calls:
            pieces.append(TextDelta(self._blank))
        return pieces

    @property
    def _is_sound(self) -> bool:
        return bool(self._calls) and self._parser.is_one_machine and not self._silent

    def _read_on(self) -> Iterator[ToolPiece]:
        text, ids = self._waiting, self._ids
        self._waiting, self._ids = "", []
        if self._silent or not text:
            return
        try:
            yield from self._read(self._parser.feed(text, ids))
        except ParserFailed:
            self._silent = True

    def _read(self, step: Step) -> Iterator[ToolPiece]:
        self._said += step.text
        yield from self._say(step.text)
        for part in step.parts:
            yield from self._read_part(part)

    def _read_part(self, part: CallPart) -> Iterator[ToolPiece]:
        if part.index not in self._by_index:
            if not part.name:
                return
            self._by_index[part.index] = begun = self._begin(part.name)
            yield from begun.started() if begun else ()
        if call := self._by_index[part.index]:
            yield from call.add(part.arguments)

    def _begin(self, name: str) -> "_Call | None":
        if self._calls and not self._parallel:
            return None
        self._blank = ""
        self._calls.append(_Call(len(self._calls), name))
        return self._calls[-1]

    def _say(self, text: str) -> Iterator[TextDelta]:
        text = self._blank + self._plain(text)
        solid = text.rstrip()
        self._blank = text[len(solid) :]
        if solid:
            yield TextDelta(solid)

    def _plain(self, text: str) -> str:
        return self._special.sub("", text)

    def _unsaid(self, whole: Whole, cut: bool) -> str:
        """Answer text that the parser held back. At a cut, half a piece of markup is no text."""
        if self._calls and not whole.calls:
            return ""
        said, text = (self._said, whole.text) if cut else (self._plain(self._said), self._plain(whole.text))
        at = text.find(said)
        rest = text[at + len(said) :] if at >= 0 else ""
        return "" if cut and rest.lstrip().startswith(_MARKUP) else rest

    def _complete(self, whole: Whole, cut: bool) -> Iterator[ToolPiece]:
        """What the streamed calls lack, then the calls that the stream did not give."""
        found = list(whole.calls)
        at = 0
        for call in self._calls:
            expected = call.take_from(found)
            if cut and call is self._calls[-1]:
                continue
            at = self._text.find(call.name, at) + 1
            yield from call.add(call.rest(expected, self._text, at))
        for name, arguments in found:
            if name in self._names and (late := self._begin(name)):
                yield from late.started()
                yield from late.add(arguments)
                yield from late.add(late.rest(None))


class _Call:
    """A call as the client knows it. Its arguments are made to end as JSON, whatever the parser gave."""

    def __init__(self, number: int, name: str) -> None:
        self.name = name
        self._number = number
        self._arguments = JsonValue()

    def started(self) -> Iterator[ToolPiece]:
        yield ToolCallStart(self._number, f"call_{secrets.token_hex(12)}", self.name)

    def add(self, arguments: str) -> Iterator[ToolPiece]:
        if taken := self._arguments.feed(arguments):
            yield ToolCallDelta(self._number, taken)

    def take_from(self, found: list[tuple[str, str]]) -> str | None:
        """Take out of the calls of the whole message the one that this is; its arguments."""
        named = [each for each in found if each[0] == self.name]
        match = next((each for each in named if self._leads_to(each[1])), named[0] if named else None)
        if match is None:
            return None
        found.remove(match)
        return match[1]

    def rest(self, expected: str | None, text: str = "", start: int = 0) -> str:
        """What is still to be sent: of the expected arguments, else of the message's own text, else what closes it."""
        sent = self._arguments.text
        if _loads(sent) is not _NOTHING:
            return ""
        written = _value_in(text, text.find(sent, start)) if sent else "{}"
        for whole in (expected or "", written):
            if whole.startswith(sent) and _loads(whole) is not _NOTHING:
                return whole[len(sent) :]
        return self._arguments.missing

    def _leads_to(self, arguments: str) -> bool:
        sent = self._arguments.text
        value = _loads(sent)
        return arguments.startswith(sent) or (value is not _NOTHING and value == _loads(arguments))


_NOTHING = object()


def _loads(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return _NOTHING


def _value_in(text: str, at: int) -> str:
    """The JSON value that begins at a place of a text; empty where none does."""
    if at < 0:
        return ""
    try:
        _, end = json.JSONDecoder().raw_decode(text, at)
    except ValueError:
        return ""
    return text[at:end]


@lru_cache(maxsize=8)
def _special_tokens(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or r"(?!)")
