"""The work of `fathom keys`: asking the database, and showing what it says. Facts go to stdout, remarks to stderr."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fathom.api.admin.keys import translate
from fathom.core.clock import now
from fathom.core.errors import ServiceError, StartupError
from fathom.serving.keys import PATIENCE, Changed, Keys, StoredKey
from fathom.serving.keys import NewKey as NewKey
from fathom.settings import Settings
from fathom.store.database import Database, url_of

Result = TypeVar("Result")
Work = Callable[[Keys], Awaitable[Result]]

_WIDE = 200  # where there is no terminal to fit into
_UNITS = {
    "requests_per_minute": "requests a minute",
    "tokens_per_minute": "tokens a minute",
    "concurrent": "requests at a time",
    "budget": "tokens a {period}",
    "max_tokens": "tokens asked for",
    "max_context": "tokens of context",
}


def change(settings: Settings, work: Work[Changed], json: bool) -> None:
    """Make a change and show what came of it, with the secret if there is a new one."""
    changed = _run(settings, work)
    if json:
        _print_json(translate.to_changed(changed))
    else:
        _print_facts(changed.key, changed.secret)
        if changed.secret:
            _remark("The secret is shown this once: it is not stored.")
    for server in changed.behind:
        _remark(
            f"warning: the server {server} has not seen this within {PATIENCE:g} s. It goes by the keys as they were "
            "until it reaches the database."
        )


def show(settings: Settings, work: Work[StoredKey], json: bool) -> None:
    key = _run(settings, work)
    if json:
        _print_json(translate.to_body(key))
    else:
        _print_facts(key)


def show_all(settings: Settings, work: Work[Sequence[StoredKey]], json: bool) -> None:
    keys = _run(settings, work)
    if json:
        return _print_json([translate.to_body(key) for key in keys])
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    console.print(_table(keys))


def _run(settings: Settings, work: Work[Result]) -> Result:
    async def run() -> Result:
        database = Database(url_of(settings))
        try:
            await database.start()
            return await work(Keys(database))
        finally:
            await database.stop()

    try:
        return asyncio.run(run())
    except ServiceError as error:
        raise StartupError(error.message) from None


def _print_json(value: Any) -> None:
    typer.echo(msgspec.json.encode(value).decode())


def _print_facts(key: StoredKey, secret: str | None = None) -> None:
    facts = {
        "id": key.id,
        "name": key.name,
        "tenant": key.tenant,
        "scopes": ", ".join(sorted(key.scopes)),
        "status": translate.status(key),
        "created": _time(key.created_at),
        "expires": _time(key.expires_at),
        "revoked": _time(key.revoked_at),
        "weight": f"{key.weight:g}",
        "limits": _limits(key),
        "secret": secret or f"{key.prefix}...",
    }
    for name, value in facts.items():
        if value:
            typer.echo(f"{name:<8} {value}")
    if key.old_until is not None and key.old_until > now():
        typer.echo(f"{'':<8} the one before opens until {_time(key.old_until)}")


def _table(keys: Sequence[StoredKey]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("id", "secret"):
        table.add_column(name, no_wrap=True)
    for name in ("name", "tenant", "scopes", "status", "expires"):
        table.add_column(name, overflow="fold")
    for key in keys:
        scopes, end = ", ".join(sorted(key.scopes)), _time(key.expires_at)
        name = escape(key.name)
        table.add_row(key.id, f"{key.prefix}...", name, key.tenant, scopes, translate.status(key), end)
    return table


def _limits(key: StoredKey) -> str:
    values = {name: getattr(key.limits, name) for name in _UNITS}
    said = [f"{value:,} {_UNITS[name]}" for name, value in values.items() if value is not None]
    return ", ".join(said).format(period=key.limits.period)


def _time(milliseconds: int | None) -> str:
    return "" if milliseconds is None else f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M UTC}"


def _remark(text: str) -> None:
    typer.echo(text, err=True)
