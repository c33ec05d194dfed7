"""CPU time of the API process per streamed token, over HTTP: python -m tests.bench.front_end_http [--quick]

Fathom and vLLM's own server, in turn, serve a model of two small layers, driven by the client of `vllm bench serve`;
and Fathom's app on a scripted engine, which has no engine's process to talk to. Only the process that listens is
counted.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench import tiny_model
from tests.bench.peers import FATHOM, VLLM, Peer, started
from tests.bench.servers import MODEL, Running
from tests.bench.table import aligned
from tests.bench.vllm_client import Level, run

STREAMS = (1, 16, 64, 256)
TOKENS = 128
ROUNDS = 3
SEQS = "256"
BASE = VLLM.name


def _scripted(_model: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "tests.bench.scripted", str(port)]


@dataclass(frozen=True, slots=True)
class Side:
    """A server and what it is told besides: a batch that holds all streams, and no compiling, which takes minutes."""

    peer: Peer
    arguments: tuple[str, ...] = ()


SIDES = (
    Side(FATHOM, ("--max-num-seqs", SEQS)),
    Side(VLLM, ("--max-num-seqs", SEQS, "--enforce-eager")),
    Side(Peer("fathom, scripted", _scripted, FATHOM.environment, "/readyz")),
)
Costs = dict[str, dict[int, list[float]]]
"""Microseconds per token: server -> streams -> a figure for each round."""


def measure(rounds: int, model: Path) -> Costs:
    costs: Costs = {side.peer.name: {streams: [] for streams in STREAMS} for side in SIDES}
    for number in range(rounds):
        for side in SIDES:
            print(f"round {number + 1} of {rounds}: {side.peer.name}", flush=True)
            with started(side.peer, model, *side.arguments) as server:
                for streams, cost in _costs(server, model):
                    print(f"  {streams:>3} streams: {cost:.0f} µs/token", flush=True)
                    costs[side.peer.name][streams].append(cost)
    return costs


def _costs(server: Running, model: Path) -> Iterator[tuple[int, float]]:
    warm_up = Level(16, 16, TOKENS)
    found = run(server.url, server.pid, model, [warm_up, *(Level(each, max(8, 2 * each), TOKENS) for each in STREAMS)])
    next(found)
    for load in found:
        yield load.streams, load.cpu


def table(costs: Costs) -> str:
    """Medians; in brackets the ratio to vLLM's."""
    lines = [["streams", *costs]]
    for streams in STREAMS:
        medians = {name: median(of[streams]) for name, of in costs.items()}
        lines.append([str(streams), *(_cell(name, value, medians[BASE]) for name, value in medians.items())])
    return aligned(lines)


def _cell(name: str, value: float, base: float) -> str:
    return f"{value:.1f} {'' if name == BASE else f'({value / base:.2f})':>7}"


@contextmanager
def _tiny() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "two-layers"
        tiny_model.make(model, MODEL)
        yield model


def main(given: Sequence[str]) -> None:
    parser = argparse.ArgumentParser("front_end_http", description="CPU of the API process per streamed token.")
    parser.add_argument("--quick", action="store_true", help=f"one round instead of {ROUNDS}")
    rounds = 1 if parser.parse_args(given).quick else ROUNDS
    print(f"{rounds} round(s) of {len(SIDES)} servers in turn, streams of {TOKENS} tokens", flush=True)
    with _tiny() as model:
        costs = measure(rounds, model)
    print(f"\nCPU of the API process per token, µs; in brackets: times {BASE}'s\n\n{table(costs)}")


if __name__ == "__main__":
    main(sys.argv[1:])
