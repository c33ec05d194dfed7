"""A program in a terminal of its own, so that keys, signals and colours are what they are for a user."""

import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

CTRL_C, CTRL_D, ENTER = "\x03", "\x04", "\r"

_OWN_THE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)


def environment(home: Path) -> dict[str, str]:
    """Nothing of who runs the tests but the search paths."""
    paths = {name: value for name, value in os.environ.items() if name in ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH")}
    return paths | {"HOME": str(home), "FATHOM_HOME": str(home), "TERM": "xterm-256color", "LANG": "C.UTF-8"}


class Terminal:
    """`screen`: everything that was written to it."""

    def __init__(self, command: list[str], home: Path) -> None:
        self.screen = ""
        self._read_up_to = 0
        self._ours, theirs = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _OWN_THE_TERMINAL, *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(home),
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()
        self.process.kill()
        self.process.wait()

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def expect(self, pattern: str, seconds: float = 20) -> re.Match[str]:
        """Read until the pattern comes, after whatever the last one matched."""
        until = time.monotonic() + seconds
        while not (found := re.compile(pattern).search(self.screen, self._read_up_to)):
            assert time.monotonic() < until and self._read(until), f"no {pattern!r} in {self.screen[-1000:]!r}"  # noqa: PT018
        self._read_up_to = found.end()
        return found

    def rest(self) -> None:
        """The prompt is drawn a moment before readline minds signals; no user is that fast."""
        time.sleep(0.3)

    def ends(self, seconds: float = 20) -> int:
        """The exit status."""
        until = time.monotonic() + seconds
        while self._read(until):
            pass
        return self.process.wait(max(0.0, until - time.monotonic()))

    def hang_up(self) -> None:
        """As when the window is closed."""
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1

    def _read(self, until: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], max(0.0, until - time.monotonic()))
        try:
            piece = os.read(self._ours, 1 << 16) if ready else b""
        except OSError:  # how Linux says that the program has closed its end
            piece = b""
        self.screen += piece.decode(errors="replace")
        return bool(piece)
