"""The `fathom` command: one small file per subcommand."""

import sys
from collections.abc import Callable

import typer

from fathom.cli.bench import bench
from fathom.cli.chat import chat
from fathom.cli.complain import complain
from fathom.cli.db import db
from fathom.cli.keys import keys
from fathom.cli.migrate import migrate
from fathom.cli.models import models
from fathom.cli.plan import plan
from fathom.cli.pull import pull
from fathom.cli.quantize import quantize
from fathom.cli.serve import serve
from fathom.cli.version import version
from fathom.core.errors import StartupError

_cli = typer.Typer(
    name="fathom",
    help="An inference server for efficient open-weight LLMs, with the reasoning trace in the open.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
COMMANDS: tuple[Callable[..., None], ...] = (serve, chat, bench, plan, pull, quantize, models, migrate, version)
GROUPS: tuple[typer.Typer, ...] = (keys, db)
for command in COMMANDS:
    _cli.command()(command)
for group in GROUPS:
    _cli.add_typer(group)


def app() -> None:
    """Run the command. A StartupError is one line on stderr and exit status 1."""
    try:
        _cli()
    except StartupError as error:
        complain(str(error))
        sys.exit(1)
