"""Results as a picture: speed, times to the first token and between tokens, CPU time, over the number of streams."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tests.bench.results import Summary
from tests.bench.vllm_client import Load

COLOURS = ("#0b6e99", "#2a9d5c", "#d1622b", "#7a5195", "#8d6b1f")  # apart from each other for the colour-blind too
DOTS_PER_INCH = 160

matplotlib.use("Agg")  # no display


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes. lines: a solid one, and a dashed one if there are two; what each is called."""

    title: str
    lines: tuple[tuple[str, Callable[[Load], float]], ...]
    logarithmic: bool = True


PANELS = (
    Panel("Output tokens per second", (("", lambda load: load.speed),), logarithmic=False),
    Panel("API process: CPU per token, µs", (("", lambda load: load.cpu),), logarithmic=False),
    Panel("Time to first token, ms", (("p50", lambda load: load.ttft_p50), ("p99", lambda load: load.ttft_p99))),
    Panel("Time between tokens, ms", (("p50", lambda load: load.itl_p50), ("p99", lambda load: load.itl_p99))),
)


def draw(found: Sequence[Summary], title: str, path: Path) -> None:
    """A PNG at `path`."""
    figure = Figure(figsize=(10, 7.5), layout="constrained")
    figure.suptitle(title, fontsize=11)
    for axes, panel in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        _fill(axes, panel, found)
    handles = [Line2D([], [], color=colour, marker="o", label=each.server) for each, colour in _coloured(found)]
    handles += [
        Line2D([], [], color="#555555", linestyle=style, label=name) for name, style in (("p50", "-"), ("p99", "--"))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def _fill(axes: Axes, panel: Panel, found: Sequence[Summary]) -> None:
    for summary, colour in _coloured(found):
        streams = [load.streams for load in summary.loads]
        for (_, value), style in zip(panel.lines, ("-", "--"), strict=False):
            axes.plot(streams, [value(load) for load in summary.loads], style, color=colour, marker="o", markersize=5)
    axes.set_title(panel.title, fontsize=10, loc="left")
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks := [load.streams for load in found[0].loads], [str(tick) for tick in ticks])
    axes.set_xlabel("streams at a time", fontsize=9)
    _scale(axes, panel.logarithmic)
    axes.minorticks_off()  # whose labels are powers of ten
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _scale(axes: Axes, logarithmic: bool) -> None:
    """From zero, or by powers with plain numbers at the ticks."""
    if not logarithmic:
        axes.set_ylim(bottom=0)
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:g}"))


def _coloured(found: Sequence[Summary]) -> list[tuple[Summary, str]]:
    return [(each, COLOURS[at % len(COLOURS)]) for at, each in enumerate(found)]
