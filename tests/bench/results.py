"""What was measured: starts, memory and loads of every server, round by round; medians over the rounds, and ratios."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from statistics import median
from typing import Any, TypeVar

from tests.bench.process import Memory
from tests.bench.vllm_client import Load

Figures = TypeVar("Figures", Memory, Load)


@dataclass(frozen=True, slots=True)
class Visit:
    """One server in one round. ready, first_token: seconds from the start of its process."""

    server: str
    ready: float
    first_token: float
    idle: Memory
    loaded: Memory
    loads: tuple[Load, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """One server over all rounds: each figure is the median of the rounds."""

    server: str
    rounds: int
    ready: float
    first_token: float
    idle: Memory
    loaded: Memory
    loads: tuple[Load, ...]

    def at(self, streams: int) -> Load:
        return next(load for load in self.loads if load.streams == streams)


def summaries(visits: Sequence[Visit]) -> list[Summary]:
    """In the order in which the servers were visited first."""
    servers = dict.fromkeys(visit.server for visit in visits)
    return [_summary([visit for visit in visits if visit.server == server]) for server in servers]


def _summary(visits: Sequence[Visit]) -> Summary:
    return Summary(
        visits[0].server,
        len(visits),
        median(visit.ready for visit in visits),
        median(visit.first_token for visit in visits),
        medians([visit.idle for visit in visits]),
        medians([visit.loaded for visit in visits]),
        tuple(medians(same) for same in zip(*(visit.loads for visit in visits), strict=True)),
    )


def medians(several: Sequence[Figures]) -> Figures:
    """Field by field."""
    kind = type(several[0])
    return kind(*(median(getattr(each, field.name) for each in several) for field in fields(kind)))


def ratio(value: float, base: float | None) -> float | None:
    """None: there is nothing to compare with."""
    return value / base if base else None


def ratios(summary: Summary, base: Summary | None) -> dict[str, Any] | None:
    """Of every figure to the same one of `base`, in the shape of a summary."""
    if base is None or base.server == summary.server:
        return None
    return _divided(asdict(summary), asdict(base), skip=("server", "rounds", "streams"))


def _divided(value: Any, base: Any, skip: Sequence[str]) -> Any:
    match value:
        case dict():
            return {key: _divided(value[key], base[key], skip) for key in value if key not in skip}
        case list() | tuple():
            return [_divided(one, other, skip) for one, other in zip(value, base, strict=True)]
        case _:
            return ratio(value, base)


def to_json(
    about: dict[str, Any], visits: Sequence[Visit], base: str, skipped: dict[str, str], opinions: list[dict[str, Any]]
) -> dict[str, Any]:
    """What is written: the setting, medians, ratios to `base`, and every round."""
    found = summaries(visits)
    to = next((each for each in found if each.server == base), None)
    return {
        **about,
        "medians": [asdict(each) for each in found],
        "ratios": {"to": base, "of": {each.server: ratios(each, to) for each in found if each is not to}},
        "rounds": [asdict(visit) for visit in visits],
        "skipped": skipped,
        "second_opinion": opinions,
    }
