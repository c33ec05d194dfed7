"""Whether a database can have changed since it was last looked at, told without asking it."""

import os
import time
from pathlib import Path

Stamp = tuple[int, ...]

_SETTLED = 100_000_000  # nanoseconds; ten steps or more of the clock of file times


def stamp_of(file: Path) -> Stamp | None:
    """Of SQLite's `file`: another one after every commit, by whichever process. None while nobody can tell.

    In WAL mode a commit is a write to the log beside the file (https://sqlite.org/wal.html). Two writes may bear the
    same time if they come within one step of the clock, so a time is no stamp until it is a while ago.
    """
    try:
        states = os.stat(file), os.stat(f"{file}-wal")
    except OSError:  # a log that is not there yet, or no more
        return None
    if time.time_ns() - max(state.st_mtime_ns for state in states) < _SETTLED:
        return None
    return tuple(each for state in states for each in (state.st_ino, state.st_size, state.st_mtime_ns))
