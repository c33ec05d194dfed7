"""Follows one JSON value that comes in pieces: where it ends, and what is missing at its end."""

_CLOSERS = {"{": "}", "[": "]"}


class JsonValue:
    """`text` is the value so far; nothing behind its end gets into it."""

    def __init__(self) -> None:
        self.text = ""
        self._open: list[str] = []
        self._in_string = False
        self._escaped = False
        self._ended = False

    def feed(self, piece: str) -> str:
        """Take the next piece; the part of it that belongs to the value comes back."""
        taken = next((piece[:at] for at, char in enumerate(piece) if not self._takes(char)), piece)
        self.text += taken
        return taken

    @property
    def missing(self) -> str:
        """What would close every string, array and object that is still open."""
        quote = ("\\" if self._escaped else "") + '"' if self._in_string else ""
        return quote + "".join(reversed(self._open))

    def _takes(self, char: str) -> bool:
        if self._ended or (not self._open and not self._in_string and char in ",}]"):
            self._ended = True
            return False
        if self._in_string:
            self._step_in_string(char)
        elif char == '"':
            self._in_string = True
        elif char in _CLOSERS:
            self._open.append(_CLOSERS[char])
        elif self._open and char == self._open[-1]:
            self._open.pop()
            self._ended = not self._open
        return True

    def _step_in_string(self, char: str) -> None:
        if self._escaped:
            self._escaped = False
        elif char == "\\":
            self._escaped = True
        elif char == '"':
            self._in_string = False
            self._ended = not self._open
