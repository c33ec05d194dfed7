"""Slow work runs in child processes: it would hold the GIL and memory here, and a child can be ended at any moment.

A child is started through this module's own main(), which asks the kernel to kill it when its parent dies (also from
SIGKILL) and then becomes the command. It gets a session of its own, so Ctrl+C in a terminal reaches the parent alone.
"""

import ctypes
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence

from fathom.core.errors import StartupError

_TICK = 0.25
_PR_SET_PDEATHSIG = 1


class ChildFailed(Exception):
    """The command ended with a non-zero status. The message is the last line that it wrote."""


def run(
    command: Sequence[str],
    *,
    cancel: threading.Event,
    on_line: Callable[[str], None] = lambda line: None,
    on_tick: Callable[[], None] = lambda: None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run to the end, or until `cancel` is set. `on_line` gets every line of output, `on_tick` a call now and then.

    Raises ChildFailed, or StartupError when cancelled. However this ends, the child has ended too.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", "fathom.models.child", str(os.getpid()), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
        start_new_session=True,
    )
    with child:
        try:
            last_line = _follow(child, cancel, on_line, on_tick)
            child.wait()
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
    if child.returncode != 0:
        raise ChildFailed(last_line or f"it ended with status {child.returncode}")


def _follow(
    child: subprocess.Popen[bytes], cancel: threading.Event, on_line: Callable[[str], None], on_tick: Callable[[], None]
) -> str:
    """Read until the child closes its output; the last line that is not blank."""
    assert child.stdout is not None
    last_line, pending = "", b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            ready = selector.select(_TICK)
            if cancel.is_set():
                raise StartupError("stopped before the model was ready.")
            on_tick()
            if not ready:
                continue
            chunk = os.read(child.stdout.fileno(), 1 << 16)
            *lines, pending = re.split(rb"[\r\n]", pending + chunk) if chunk else [pending, b""]
            for line in filter(None, (raw.decode(errors="replace").strip() for raw in lines)):
                last_line = line
                on_line(line)
            if not chunk:
                return last_line


def main(parent: str, *command: str) -> None:
    """Become the command, as a process that dies with its parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("the parent has gone")
    os.execvp(command[0], command)  # noqa: S606 - the list comes from run()


if __name__ == "__main__":
    main(*sys.argv[1:])
