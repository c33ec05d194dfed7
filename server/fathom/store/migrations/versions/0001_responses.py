"""Responses with their items and events, servers, secrets."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "responses",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("background", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("previous_id", sa.Text),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("request", sa.Text),
        sa.Column("owner", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("begun", sa.Boolean, nullable=False),
        sa.Column("next_number", sa.BigInteger, nullable=False),
    )
    op.create_index("responses_by_status", "responses", ["status", "created_at"])
    op.create_index("responses_by_expiry", "responses", ["expires_at"])
    op.create_table(
        "response_items",
        _of_response(),
        sa.Column("direction", sa.Text, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("item_id", sa.Text),
        sa.Column("data", sa.Text, nullable=False),
    )
    op.create_index("response_items_by_id", "response_items", ["item_id"])
    op.create_table(
        "response_events",
        _of_response(),
        sa.Column("first", sa.BigInteger, primary_key=True),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "servers",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )


def _of_response() -> sa.Column[str]:
    return sa.Column("response_id", sa.Text, sa.ForeignKey("responses.id", ondelete="CASCADE"), primary_key=True)
