"""fathom db: looking after the database."""

import asyncio

import typer

from fathom.cli.complain import complain
from fathom.cli.given import Config, Set, assigned
from fathom.settings import load

db = typer.Typer(name="db", help="Look after the database.", no_args_is_help=True)


@db.command()
def check(config: Config = None, set_: Set = None) -> None:
    """Read the whole database and say what is wrong with it. It may be in use; nothing is changed."""
    settings = load(assigned(set_), config)
    from fathom.store.database import Database, url_of  # brings SQLAlchemy; the other commands start without it

    async def run() -> tuple[str, list[str]]:
        database = Database(url_of(settings))
        try:
            return database.name, await database.check()
        finally:
            await database.stop()

    name, problems = asyncio.run(run())
    for problem in problems:
        complain(f"{name}: {problem}")
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{name} is whole")
