"""Migrations with Alembic. Imported only when there is something to migrate: Alembic takes a while to import."""

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from fathom.core.errors import StartupError


def scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def upgrade(connection: Connection, revision: str | None) -> None:
    """From `revision` (None: an empty database) to the last one, in the caller's transaction. Raises StartupError if
    the revision is none of ours."""
    known = {script.revision for script in scripts().walk_revisions()}
    if revision is not None and revision not in known:
        raise StartupError(
            f"its revision {revision[:40]!r} is newer than this Fathom; start the Fathom that wrote it, or a later one"
        )
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "fathom.store:migrations")
    return config
