"""Settings that a command line gives."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from fathom.core.errors import StartupError

Config = Annotated[Path | None, typer.Option(help="TOML file (fathom.toml under FATHOM_HOME, if there).")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Any setting, as NAME=VALUE. Repeatable.")]


def assigned(pairs: Iterable[str] | None) -> dict[str, Any]:
    """What `--set` gives. Raises StartupError."""
    split = (part(pair, "--set NAME=VALUE") for pair in pairs or [])
    return {name: _value(value) for name, value in split}


def part(pair: str, form: str) -> tuple[str, str]:
    """NAME=VALUE in two. Raises StartupError, which names the form."""
    name, equals, value = pair.partition("=")
    if not (name and equals and value):
        raise StartupError(f"{pair!r} does not have the form {form}")
    return name.strip(), value.strip()


def _value(text: str) -> Any:
    """As TOML where it is TOML (4, true, ["a"], {a = 1}), else as text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
