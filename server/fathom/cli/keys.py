"""fathom keys: who may ask. It talks to the database, and ends once every server of it goes by the change."""

import re
import time
from typing import Annotated, Literal

import typer

from fathom.cli.given import Config, Set, assigned
from fathom.core.errors import StartupError
from fathom.core.tenant import EVERYONE, Limits, Scope
from fathom.settings import load

keys = typer.Typer(name="keys", help="Make, list, rotate and revoke API keys.", no_args_is_help=True)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

Key = Annotated[str, typer.Argument(metavar="KEY", help="Its id, as `fathom keys list` shows it.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, as GET /admin/keys has it.")]


@keys.command()
def create(
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    tenant: Annotated[str, typer.Option(help="Whose it is.")] = EVERYONE.id,
    scope: Annotated[list[Scope] | None, typer.Option(help="What it opens (inference). Repeatable.")] = None,
    weight: Annotated[float, typer.Option(help="Its tenant's share of a busy engine, beside those of others.")] = 1.0,
    rpm: Annotated[int | None, typer.Option(min=1, help="Most requests in a minute.")] = None,
    tpm: Annotated[int | None, typer.Option(min=1, help="Most tokens in a minute, prompt and completion.")] = None,
    concurrent: Annotated[int | None, typer.Option(min=1, help="Most requests at a time.")] = None,
    budget: Annotated[int | None, typer.Option(min=1, help="Most tokens in a --period.")] = None,
    period: Annotated[Literal["day", "month"], typer.Option(help="What the budget is for (UTC).")] = "month",
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens that a request may ask for.")] = None,
    max_context: Annotated[int | None, typer.Option(min=1, help="Most tokens of a request, prompt included.")] = None,
    expires: Annotated[str | None, typer.Option(help="After how long: 90d, 12h, 30m (never).")] = None,
    json: Json = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Make a key, and print its secret. That is not stored, and cannot be shown again."""
    limits = Limits(rpm, tpm, concurrent, budget, period, max_tokens, max_context)
    end = None if expires is None else round((time.time() + _seconds(expires, "--expires")) * 1000)
    settings = load(assigned(set_), config)
    from fathom.cli import keys_work  # brings SQLAlchemy; the other commands start without it

    wanted = keys_work.NewKey(name, tenant, frozenset(scope or [Scope.INFERENCE]), weight, limits, end)
    keys_work.change(settings, lambda keys: keys.create(wanted), json)


@keys.command(name="list")
def list_(
    tenant: Annotated[str | None, typer.Option(help="Of this tenant alone.")] = None,
    json: Json = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """List all keys, oldest first, with those that were revoked or have expired."""
    settings = load(assigned(set_), config)
    from fathom.cli import keys_work

    keys_work.show_all(settings, lambda keys: keys.page(tenant=tenant), json)


@keys.command()
def show(key: Key, json: Json = False, config: Config = None, set_: Set = None) -> None:
    """Show one key: whose it is, what it opens, its limits, its end."""
    settings = load(assigned(set_), config)
    from fathom.cli import keys_work

    keys_work.show(settings, lambda keys: keys.get(key), json)


@keys.command()
def rotate(
    key: Key,
    grace: Annotated[str | None, typer.Option(help="How long the old secret still opens: 1d, 12h, 30m (not).")] = None,
    json: Json = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Give a key a new secret, and print it. Id, limits and usage stay."""
    seconds = 0.0 if grace is None else _seconds(grace, "--grace")
    settings = load(assigned(set_), config)
    from fathom.cli import keys_work

    keys_work.change(settings, lambda keys: keys.rotate(key, seconds), json)


@keys.command()
def revoke(key: Key, json: Json = False, config: Config = None, set_: Set = None) -> None:
    """Close a key for good, from the next call on. It stays in the list."""
    settings = load(assigned(set_), config)
    from fathom.cli import keys_work

    keys_work.change(settings, lambda keys: keys.revoke(key), json)


def _seconds(text: str, option: str) -> float:
    found = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    if not found or not int(found[1]):
        raise StartupError(f"{option} {text!r} is no time; it looks like 30m, 12h, 90d or 8w")
    return float(int(found[1]) * _UNITS[found[2]])
