"""Load from vLLM's own client, the code of `vllm bench serve`, in a process of its own.

`run` is for others. `python -m tests.bench.vllm_client URL PID TOKENIZER LEVEL...` is the child: it drives the server
at URL through one LEVEL (STREAMS:REQUESTS:TOKENS) after the other and prints a line of JSON for each. The CPU wheel
has no distribution named vllm, so that the command `vllm` does not start, and there is no pandas for its datasets: the
prompts come from prompts.py instead, and its code runs as it is otherwise.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.bench.process import cpu_seconds
from tests.bench.prompts import TOKENS as PROMPT_TOKENS
from tests.bench.prompts import prompts


@dataclass(frozen=True, slots=True)
class Level:
    """So many streams, each of which asks again when it is answered; `requests` in all, of `tokens` output tokens."""

    streams: int
    requests: int
    tokens: int

    def __str__(self) -> str:
        return f"{self.streams}:{self.requests}:{self.tokens}"


@dataclass(frozen=True, slots=True)
class Load:
    """One level, once. speed: output tokens per second. Times in ms. cpu: microseconds of the API process per token."""

    streams: int
    speed: float
    ttft_p50: float
    ttft_p99: float
    itl_p50: float
    itl_p99: float
    cpu: float


def run(url: str, pid: int, tokenizer: Path, levels: Sequence[Level]) -> Iterator[Load]:
    """As they come. Fails with the end of what the client said if it fails."""
    command = [sys.executable, "-m", "tests.bench.vllm_client", url, str(pid), str(tokenizer), *map(str, levels)]
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as child,
    ):
        assert child.stdout
        for line in child.stdout:
            yield Load(**json.loads(line))
        if child.wait():
            said.seek(0)
            raise AssertionError(f"vLLM's client failed:\n{said.read()[-3000:]}")


def main(url: str, pid: str, tokenizer: str, *given: str) -> None:
    model = httpx.get(f"{url}/v1/models", timeout=30).json()["data"][0]["id"]
    first = 0
    for level in (Level(*map(int, each.split(":"))) for each in given):
        with redirect_stdout(sys.stderr):
            load = _drive(_arguments(url, model, tokenizer, level), int(pid), first)
        print(json.dumps(asdict(load)), flush=True)
        first += level.requests


def _arguments(url: str, model: str, tokenizer: str, level: Level) -> argparse.Namespace:
    from vllm.benchmarks.serve import add_cli_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    given = {
        "--base-url": url,
        "--model": model,
        "--tokenizer": tokenizer,
        "--num-prompts": level.requests,
        "--max-concurrency": level.streams,
        "--output-len": level.tokens,
        "--temperature": 0,
        "--repetition-penalty": 1.0,  # Fathom's default for a small model that repeats is no work of vLLM's
        "--metric-percentiles": "50,99",
        "--ready-check-timeout-sec": 0,  # its check sends the first prompt, which would then be in the prefix cache
    }
    parser = FlexibleArgumentParser()
    add_cli_args(parser)
    flags = ["--ignore-eos", "--disable-tqdm", "--save-detailed"]
    parsed: argparse.Namespace = parser.parse_args([*flags, *(f"{name}={value}" for name, value in given.items())])
    return parsed


def _drive(arguments: argparse.Namespace, pid: int, first: int) -> Load:
    from vllm.benchmarks import serve
    from vllm.benchmarks.datasets import SampleRequest

    def samples(args: argparse.Namespace, tokenizer: Any) -> list[SampleRequest]:
        texts = prompts(tokenizer, first, args.num_prompts)
        return [SampleRequest(text, PROMPT_TOKENS, args.output_len) for text in texts]

    benchmark, used = serve.benchmark, 0.0

    async def watched(**given: Any) -> dict[str, Any]:
        nonlocal used
        before = cpu_seconds(pid)
        result: dict[str, Any] = await benchmark(**given)
        used = cpu_seconds(pid) - before
        return result

    serve.get_samples, serve.benchmark = samples, watched
    try:
        result = asyncio.run(serve.main_async(arguments))
    finally:
        serve.benchmark = benchmark
    return _load(arguments, result, used)


def _load(arguments: argparse.Namespace, result: dict[str, Any], used: float) -> Load:
    failed = arguments.num_prompts - result["completed"]
    assert not failed, f"{failed} requests failed, with {next(filter(None, result['errors']), 'no reason')}"
    tokens = result["total_output_tokens"]
    expected = arguments.num_prompts * arguments.output_len
    assert tokens == expected, f"{tokens} tokens came, and not {expected}"
    return Load(
        arguments.max_concurrency,
        result["output_throughput"],
        result["p50_ttft_ms"],
        result["p99_ttft_ms"],
        result["p50_itl_ms"],
        result["p99_itl_ms"],
        used / tokens * 1e6,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
