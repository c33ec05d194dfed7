"""The tables. They are made by the migrations; `tests/store/test_migrations.py` holds the two together.

Times are milliseconds since the epoch. JSON is text: PostgreSQL's own type would lose NUL characters and order.
"""

from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)


class Json(TypeDecorator[Any]):
    """A JSON value as text. NUL stays escaped, since PostgreSQL's text cannot hold it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else msgspec.json.decode(value)


metadata = MetaData()

responses = Table(
    "responses",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("background", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("previous_id", Text),  # no foreign key: an ancestor may be deleted
    Column("body", Json, nullable=False),
    Column("request", Json),
    Column("owner", Text),
    Column("attempts", Integer, nullable=False),
    Column("begun", Boolean, nullable=False),
    Column("next_number", BigInteger, nullable=False),
    Index("responses_by_status", "status", "created_at"),
    Index("responses_by_expiry", "expires_at"),
)


def _of_response() -> Column[str]:
    return Column("response_id", Text, ForeignKey("responses.id", ondelete="CASCADE"), primary_key=True)


response_items = Table(
    "response_items",
    metadata,
    _of_response(),
    Column("direction", Text, primary_key=True),  # input | output
    Column("position", Integer, primary_key=True),
    Column("item_id", Text),
    Column("data", Json, nullable=False),
    Index("response_items_by_id", "item_id"),
)

response_events = Table(
    "response_events",
    metadata,
    _of_response(),
    Column("first", BigInteger, primary_key=True),
    Column("last", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

servers = Table(
    "servers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("seen_at", BigInteger, nullable=False),
    Column("keys_revision", BigInteger),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("scopes", Json, nullable=False),
    Column("weight", Float, nullable=False),
    Column("limits", Json, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("old_hash", LargeBinary),
    Column("old_until", BigInteger),
    Column("revision", BigInteger, nullable=False),
    Index("keys_by_hash", "hash", unique=True),
    Index("keys_by_revision", "revision"),
)

revisions = Table(
    "revisions",
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

usage = Table(
    "usage",
    metadata,
    Column("day", Text, primary_key=True),  # as in 2026-01-31, UTC
    Column("tenant", Text, primary_key=True),
    Column("key", Text, primary_key=True),  # its id; "" where the server is open
    Column("model", Text, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Index("usage_by_key", "key", "day"),
)
