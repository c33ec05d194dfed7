"""fathom pull: fetch a model, and convert it if need be, without serving it."""

from typing import Annotated

import typer

from fathom import settings
from fathom.cli.progress import showing_progress
from fathom.models.fetch import prepare


def pull(
    model: Annotated[
        str | None,
        typer.Argument(help="Catalogue alias, Hugging Face id (also id@revision), folder or .gguf file."),
    ] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Fetch the Python code that the repository brings along, too.")
    ] = False,
) -> None:
    """Fetch MODEL (without one: the embedded model) and print its folder. Asks the hub for the newest commit."""
    current = settings.load()
    trusted = trust_remote_code or current.model.trust_remote_code
    with showing_progress() as progress:
        prepared = prepare(
            model or current.model.model, current.home, progress, trust_remote_code=trusted, refresh=True
        )
    typer.echo(prepared.path)
