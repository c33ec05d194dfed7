"""A database that fails at the Nth thing that is asked of it: a statement, BEGIN and COMMIT included."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError


@dataclass
class Faults:
    """at: which one fails; None: they are only counted. lasting: all later ones do, too. full: for lack of room.
    seen: how many there were."""

    at: int | None = None
    lasting: bool = False
    full: bool = False
    seen: int = 0

    def step(self) -> None:
        self.seen += 1
        if self.at is not None and (self.seen == self.at or (self.lasting and self.seen > self.at)):
            reason = sqlite3.OperationalError("an injected fault")
            reason.sqlite_errorcode = sqlite3.SQLITE_FULL if self.full else sqlite3.SQLITE_IOERR
            raise OperationalError(None, None, reason)


@contextmanager
def failing_store(at: int | None = None, *, lasting: bool = False, full: bool = False) -> Iterator[Faults]:
    """Every database of this process, in every thread."""
    faults = Faults(at, lasting, full)

    def on_statement(_connection: Connection, _cursor: Any, statement: str, *_more: Any) -> None:
        faults.step()

    def on_commit(_connection: Connection) -> None:
        faults.step()

    listeners = (("before_cursor_execute", on_statement), ("commit", on_commit))
    for name, listener in listeners:
        event.listen(Engine, name, listener)
    try:
        yield faults
    finally:
        for name, listener in listeners:
            event.remove(Engine, name, listener)
