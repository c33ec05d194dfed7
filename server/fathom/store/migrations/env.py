"""Run by Alembic. The connection, and the transaction that a whole migration is, are the caller's: see migrating.py."""

from alembic import context

from fathom.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
