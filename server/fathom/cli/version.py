"""fathom version."""

import typer

from fathom import __version__


def version() -> None:
    """Print Fathom's version."""
    typer.echo(__version__)
