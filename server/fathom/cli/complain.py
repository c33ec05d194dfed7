"""The one line that says why a command failed."""

from rich.console import Console
from rich.markup import escape


def complain(reason: str) -> None:
    """Print it on stderr, unwrapped."""
    Console(stderr=True, highlight=False, soft_wrap=True).print("[red]fathom: error:[/]", escape(reason))
