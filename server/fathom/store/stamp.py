"""Whether a database can have changed since it was last looked at, told for next to nothing."""

import sqlite3
from contextlib import suppress
from pathlib import Path


class Stamps:
    """Of SQLite's `file`. It has a connection of its own, which is opened when it is first needed and never waits."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None

    def take(self) -> int | None:
        """Another one after every commit, whoever made it, once it can be seen. None: it cannot be told now.

        This is https://sqlite.org/pragma.html#pragma_data_version: a look into shared memory.
        """
        try:
            if self._connection is None:
                uri = f"{self._file.absolute().as_uri()}?mode=ro"
                self._connection = sqlite3.connect(uri, timeout=0, isolation_level=None, uri=True)
            [(version,)] = self._connection.execute("PRAGMA data_version").fetchall()
        except sqlite3.Error:
            return None
        return int(version)

    def close(self) -> None:
        with suppress(sqlite3.Error):
            if self._connection:
                self._connection.close()
        self._connection = None
