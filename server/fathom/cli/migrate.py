"""fathom migrate."""

import asyncio

import typer

from fathom.cli.given import Config, Set, assigned
from fathom.settings import load


def migrate(config: Config = None, set_: Set = None) -> None:
    """Make the tables of the database, or bring them up to date. A server that starts does it, too."""
    settings = load(assigned(set_), config)
    from fathom.store.database import Database, url_of  # brings SQLAlchemy; the other commands start without it

    async def run() -> str:
        database = Database(url_of(settings))
        try:
            await database.start()
        finally:
            await database.stop()
        return database.name

    typer.echo(f"{asyncio.run(run())} is up to date")
