"""A plan on the screen, and as JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fathom.engine.machine import Choice
from fathom.models.memory import gib, kv_dtype
from fathom.models.outline import Outline
from fathom.models.planning import Forecast, Hardware, Wanted

_WIDE = 200  # where there is no terminal to fit into


@dataclass(frozen=True, slots=True)
class Report:
    """`known` is the model as it is, `wanted` as it would be served."""

    known: Outline
    wanted: Wanted
    hardware: Hardware
    forecast: Forecast
    choices: list[Choice]
    scheme: str | None

    @property
    def fits(self) -> bool:
        return self.forecast.short_of is None

    @property
    def workers(self) -> int:
        settings = self.wanted.settings
        return settings.tensor_parallel_size * settings.pipeline_parallel_size

    @property
    def shared(self) -> bool:
        """Among several GPUs."""
        return self.workers > 1 and self.hardware.device == "cuda"


def show(report: Report, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(body(report), indent=2))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=_WIDE, highlight=False)
    console.print(_facts(report))
    if report.fits and report.forecast.rows:
        console.print("\nRequests at a time, by their length:")
        console.print(_requests(report))
    if report.fits:
        console.print("\nWhat would be chosen:")
        console.print(_choices(report.choices))
    console.print("\n" + "\n".join(map(escape, _verdict(report))))


def body(report: Report) -> dict[str, object]:
    """Sizes in bytes, speeds in tokens/s and bytes/s."""
    known, sizes, found = report.known, report.wanted.sizes, report.forecast
    return {
        "model": known.id,
        "source": known.source,
        "known_from": known.known_from,
        "scheme": report.scheme,
        "parameters": sizes.parameters,
        "active_parameters": sizes.active_parameters,
        "context_length": known.facts.context_length,
        "bytes_by_dtype": dict(sizes.bytes_by_dtype),
        "hardware": asdict(report.hardware) | {"count": report.workers if report.hardware.device == "cuda" else 1},
        "fits": report.fits,
        "weight_bytes": found.plan.weight_bytes,
        "runtime_bytes": found.runtime_bytes,
        "kv_cache_bytes": found.plan.kv_bytes,
        "kv_cache_tokens": found.plan.kv_tokens,
        "available_bytes": found.available_bytes,
        "kv_bytes_per_token": found.token_bytes // found.copies,
        "kv_copies": found.copies,
        "max_model_len": found.plan.max_model_len,
        "requests": [asdict(row) for row in found.rows] if report.fits else [],
        "read_bytes_per_token": found.read_bytes,
        "tokens_per_second_at_most": found.tokens_per_second,
        "tokens_per_second_at_most_at_full_context": found.tokens_per_second_at_full_context,
        "choices": [asdict(choice) for choice in report.choices] if report.fits else [],
        "short_of": found.short_of,
        "fixes": list(found.fixes),
    }


def _facts(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in _lines(report):
        table.add_row(name, escape(value))
    return table


def _lines(report: Report) -> Iterator[tuple[str, str]]:
    known, sizes, here, found = report.known, report.wanted.sizes, report.hardware, report.forecast
    active = f", of which a token uses {count(sizes.active_parameters)}" if sizes.expert_share < 1 else ""
    dtypes = ", ".join(f"{dtype} {gib(size)}" for dtype, size in sizes.bytes_by_dtype.items() if size)
    yield "model", f"{known.id}  ({known.source})"
    yield "known from", known.known_from
    yield "parameters", count(sizes.parameters) + active
    yield "weights", gib(report.wanted.facts.weight_bytes) + f"  ({dtypes})" + _otherwise(report)
    copies = f", kept {found.copies} times" if found.copies > 1 else ""
    each = found.token_bytes // found.copies
    yield "KV cache", f"{each / 1024:,.1f} KiB a token, in {kv_dtype(known.facts, report.wanted.settings)}{copies}"
    number, of_each = (f"{report.workers} x ", " each") if report.shared else ("", "")
    yield "machine", f"{number}{here.name}, {gib(here.memory)} of memory{of_each} ({here.memory_from})"
    yield from _speed(report)


def _otherwise(report: Report) -> str:
    """Where they are not loaded as they are stored."""
    loaded, facts = report.forecast.plan.weight_bytes, report.wanted.facts
    scheme = f", as {report.scheme}; now {gib(report.known.facts.weight_bytes)}" if report.scheme else ""
    return scheme + (f", in memory {gib(loaded)}" if loaded != facts.weight_bytes else "")


def _speed(report: Report) -> Iterator[tuple[str, str]]:
    found, here = report.forecast, report.hardware
    if found.tokens_per_second is None or here.bandwidth is None:
        yield "speed", "not known without the memory's bandwidth: give --bandwidth, in GB/s"
        return
    each = " each" if report.shared else ""
    yield (
        "speed",
        f"at most {_speed_of(found.tokens_per_second)} in one stream: a token reads {gib(found.read_bytes)} of "
        f"weights, at {here.bandwidth / 1e9:,.1f} GB/s{each} ({here.bandwidth_from})",
    )
    if report.fits and found.tokens_per_second_at_full_context:
        speed, context = found.tokens_per_second_at_full_context, found.plan.max_model_len
        yield "", f"at most {_speed_of(speed)} when it is {context:,} tokens long, whose KV cache is read, too"


def _requests(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    on_cpu = report.hardware.device == "cpu"
    for name in ("tokens", "KV cache of one", "in the planned cache", *(["with all free memory"] if on_cpu else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for row in report.forecast.rows:
        most = [f"{row.at_most:,}"] if on_cpu else []
        table.add_row(f"{row.context:,}", gib(row.request_bytes), f"{row.in_cache:,}", *most)
    return table


def _choices(choices: list[Choice]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for choice in choices:
        table.add_row(choice.name, escape(choice.value), escape(choice.why))
    return table


def _verdict(report: Report) -> Iterator[str]:
    found, plan = report.forecast, report.forecast.plan
    if not report.fits:
        yield f"It does not fit: {found.short_of}"
        yield (
            "One of these would do:" if found.fixes else "No smaller context, 8-bit weights or up to 16 GPUs would do."
        )
        yield from (f"  {fix}" for fix in found.fixes)
        return
    estimate = "" if report.hardware.device == "cpu" else " It is an estimate: vLLM measures when it starts."
    needs = plan.weight_bytes + found.runtime_bytes + (plan.kv_bytes or 0)
    yield (
        f"It fits: {gib(plan.weight_bytes)} of weights, {gib(found.runtime_bytes)} to run and "
        f"{gib(plan.kv_bytes or 0)} of KV cache ({plan.kv_tokens or 0:,} tokens) are {gib(needs)} of "
        f"{gib(found.available_bytes)}.{estimate}"
    )
    own, chosen = report.known.facts.context_length, plan.max_model_len
    if own and chosen and chosen < own and not report.wanted.settings.max_model_len:
        yield (
            f"The context is {chosen:,} of the model's {own:,} tokens; for all of them the KV cache would take "
            f"{gib(own * found.token_bytes)}."
        )


def _speed_of(tokens: float) -> str:
    return f"{tokens:,.{0 if tokens >= 100 else 1 if tokens >= 10 else 2}f} tokens/s"


def count(number: int) -> str:
    """Of parameters, as people say it."""
    return f"{number / 1e9:,.2f} billion" if number >= 1e9 else f"{number / 1e6:,.1f} million"
