"""What the database looks like, revision by revision. Forward only."""

HEAD = "0003"
"""The last revision. Alembic, which knows it too, is slow to import; a test holds the two together."""
