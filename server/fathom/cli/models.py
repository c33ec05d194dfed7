"""fathom models: the catalogue, and what of it is on disk."""

from rich.console import Console
from rich.table import Table

from fathom import settings
from fathom.models import catalogue
from fathom.models.catalogue import Entry
from fathom.models.fetch import stored

_WIDE = 200  # where there is no terminal to fit into


def models() -> None:
    """List the models that have a short name, and everything that was fetched."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    console.print(_table(stored(settings.load().home)))


def _table(on_disk: dict[str, int]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("alias", "id", "parameters", "licence", "profile"):
        table.add_column(name, overflow="fold")
    for name in ("context", "size", "on disk"):
        table.add_column(name, justify="right", no_wrap=True)
    for entry in catalogue.entries():
        size = on_disk.pop(entry.id, 0) or on_disk.pop(entry.alias, 0)
        table.add_row(*_cells(entry), _gigabytes(size) if size else "")
    for name, size in on_disk.items():
        table.add_row("", name, "", "", "", "", "", _gigabytes(size))
    return table


def _cells(entry: Entry) -> tuple[str, ...]:
    note = " (default)" if entry.alias == catalogue.DEFAULT else ""
    licence = f"{entry.licence} (gated)" if entry.gated else entry.licence
    size = _gigabytes(int(entry.size_gb * 1e9))
    return entry.alias + note, entry.id, entry.parameters, licence, entry.profile, f"{entry.context:,}", size


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.2f} GB" if size < 10e9 else f"{size / 1e9:,.1f} GB"
