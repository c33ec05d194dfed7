"""What a chat puts on the screen: trace and answer on stdout as they stream, everything else on stderr."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.style import Style
from rich.text import Text

from fathom.cli.chat_client import Ended, Piece
from fathom.core.events import ReasoningDelta, TextDelta

_DIM = Style(dim=True)
_PLAIN = Style()
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)  # a model must not steer the terminal; tab and newline may pass

Say = Callable[[str, str], None]
"""What is waited for, and how it goes on."""


class Screen:
    def __init__(self, show_trace: bool = True) -> None:
        self.show_trace = show_trace
        self._out = Console(highlight=False)
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        self._err.print(text, style="dim", markup=False)

    def error(self, text: str) -> None:
        self._err.print(text, style="red", markup=False)

    def write(self, text: str, style: Style) -> None:
        """Without rich's layout, which knows lines but not pieces of them."""
        if self._out.is_terminal:
            text = _CONTROLS.sub("", text)
        self._out.file.write(style.render(text) if self._out.color_system else text)
        self._out.file.flush()

    @contextmanager
    def waiting(self) -> Iterator[Say]:
        """On a terminal one line beside a spinner; elsewhere a line for each new thing that is waited for."""
        if self._err.is_terminal:
            with self._err.status("") as status:
                yield lambda what, how: status.update(Text(f"{what} {how}", style="dim"))
        else:
            said: set[str] = set()
            yield lambda what, how: self._say_once(what, said)

    def _say_once(self, what: str, said: set[str]) -> None:
        if what not in said:
            said.add(what)
            self.note(f"{what} ...")


class AnswerView:
    """One answer on the screen. `text`: what has come of it so far, without its trace."""

    def __init__(self, screen: Screen) -> None:
        self.text = ""
        self._screen = screen
        self._shown: type[Piece] | None = None
        self._tail = ""
        self._began = time.monotonic()
        self._first: float | None = None

    def show(self, piece: Piece) -> None:
        match piece:
            case ReasoningDelta(text):
                self._note_time()
                if self._screen.show_trace:
                    self._write(ReasoningDelta, text, _DIM)
            case TextDelta(text):
                self._note_time()
                self.text += text
                self._write(TextDelta, text, _PLAIN)
            case Ended():
                self.end_line()
                self._screen.note(speed_line(piece, self._began, self._first, time.monotonic()))

    def end_line(self) -> None:
        if self._tail and not self._tail.endswith("\n"):
            self._screen.write("\n", _PLAIN)
            self._tail = "\n"

    def _note_time(self) -> None:
        if self._first is None:
            self._first = time.monotonic()

    def _write(self, kind: type[Piece], text: str, style: Style) -> None:
        """Trace and answer each begin at their first visible character, with one blank line between them."""
        if kind is not self._shown:
            text = text.lstrip()
            if not text:
                return
            if self._shown:
                self._screen.write("\n" * (2 - self._newlines()), _PLAIN)
            self._shown = kind
        self._screen.write(text, style)
        self._tail = (self._tail + text)[-2:]

    def _newlines(self) -> int:
        return len(self._tail) - len(self._tail.rstrip("\n"))


def speed_line(ended: Ended, began: float, first: float | None, last: float) -> str:
    """As in `52 tokens (20 thinking), 31.2 tokens/s, first token 0.12 s`. The rate counts from the first token on."""
    facts: list[str] = []
    if ended.tokens is not None:
        noun = "token" if ended.tokens == 1 else "tokens"
        facts.append(f"{ended.tokens} {noun}" + (f" ({ended.thinking} thinking)" if ended.thinking else ""))
    if first is not None:
        if ended.tokens is not None and ended.tokens > 1 and last > first:
            facts.append(f"{(ended.tokens - 1) / (last - first):.1f} tokens/s")
        facts.append(f"first token {first - began:.2f} s")
    if ended.reason == "length":
        facts.append("cut at the limit")
    return ", ".join(facts) or "no answer"
