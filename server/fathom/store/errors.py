"""What drivers raise, in our words. The reason goes to the log; clients never see SQL."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from fathom.core.errors import StartupError, StoreFull, StoreUnavailable
from fathom.telemetry import metrics

log = structlog.get_logger()

_RETRY_AFTER = 5.0
_DISK_FULL = "53100"  # PostgreSQL's code


@contextmanager
def driver_errors() -> Iterator[None]:
    """Driver errors become StoreUnavailable or StoreFull, apart from those that only a bug of ours brings about."""
    try:
        yield
    except (IntegrityError, ProgrammingError, DataError):
        raise
    except (DBAPIError, NoConnectionFree, OSError) as error:
        failure = _failure(error)
        metrics.STORE_ERRORS.labels(failure.code).inc()
        log.warning("store.failed", code=failure.code, reason=_reason(error))
        raise failure from error


@contextmanager
def startup_errors(database: str) -> Iterator[None]:
    """Whatever keeps us from `database` (its name, without a password) becomes a StartupError."""
    try:
        yield
    except StartupError as error:
        raise StartupError(f"database {database}: {error}") from None
    except (SQLAlchemyError, OSError, TypeError) as error:  # TypeError: an unknown option in the URL
        raise StartupError(
            f"cannot use the database {database}: {_reason(error)}; start or repair it, or name another in store.url"
        ) from None


def _failure(error: Exception) -> StoreUnavailable:
    driver = getattr(error, "orig", None)
    primary = getattr(driver, "sqlite_errorcode", 0) & 0xFF
    if primary == sqlite3.SQLITE_FULL or getattr(driver, "sqlstate", None) == _DISK_FULL:
        return StoreFull(
            "The server's database has no room left, so nothing can be stored. Free disk space on the server, or send "
            "store=false."
        )
    return StoreUnavailable(
        f"The server's database cannot be used at the moment. Try again in {_RETRY_AFTER:.0f} seconds, or send "
        "store=false.",
        retry_after=_RETRY_AFTER,
    )


def _reason(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, TimeoutError):
        return "it does not answer"
    first, *_ = str(cause).splitlines() or [type(cause).__name__]
    return first.removeprefix(f"{type(cause.__cause__)}: ")  # SQLAlchemy puts asyncpg's class before its words
