"""The same load from another client, guidellm, which is no package of ours: its pins and vLLM's do not fit together, so
that it lives in an environment of its own, and its executable is named with --guidellm."""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.prompts import TOKENS as PROMPT_TOKENS
from tests.bench.table import aligned
from tests.bench.vllm_client import Level

PROMPT = "with prompts of its own making, of as many tokens; the time between tokens is each request's mean"

_TIMES = ("time_to_first_token_ms", "inter_token_latency_ms")
_SHOWN = ("speed", "ttft_p50", "ttft_p99", "itl_p50", "itl_p99")


@dataclass(frozen=True, slots=True)
class Opinion:
    """speed: output tokens per second. Times in ms; those between tokens are over requests, of each the mean."""

    streams: int
    speed: float
    ttft_p50: float
    ttft_p99: float
    itl_p50: float
    itl_p99: float


def run(executable: Path, url: str, tokenizer: Path, levels: Sequence[Level]) -> list[Opinion]:
    """Fails with the end of what guidellm said if it fails."""
    return [_opinion(executable, url, tokenizer, level) for level in levels]


def _opinion(executable: Path, url: str, tokenizer: Path, level: Level) -> Opinion:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [str(executable.absolute()), "run", *_arguments(url, tokenizer, level, report)]
        offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "PYTHONPATH": ""}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=folder, env={**os.environ, **offline}
        )
        assert report.is_file(), f"guidellm failed:\n{(done.stdout + done.stderr)[-3000:]}"
        return read(level.streams, json.loads(report.read_text()))


def _arguments(url: str, tokenizer: Path, level: Level, report: Path) -> list[str]:
    body = {"body": {"temperature": 0, "repetition_penalty": 1.0}}
    target = {"kind": "openai_http", "target": url, "request_format": "/v1/completions", "http2": False, "extras": body}
    data = {"kind": "synthetic_text", "prompt_tokens": PROMPT_TOKENS, "output_tokens": level.tokens}
    given = {
        "--backend": target,
        "--profile": {"kind": "concurrent", "streams": level.streams},
        "--constraint": {"kind": "max_requests", "count": level.requests},
        "--tokenizer": {"kind": "huggingface_auto", "model": str(tokenizer)},
        "--data": data,
        "--output": {"kind": "json", "path": str(report)},
    }
    pairs = [part for name, value in given.items() for part in (name, json.dumps(value))]
    return [*pairs, "--disable-console-interactive"]


def read(streams: int, report: dict[str, Any]) -> Opinion:
    """Of a report with one benchmark."""
    metrics = report["benchmarks"][0]["metrics"]
    failed = metrics["request_totals"]["errored"]
    assert not failed, f"{failed} requests of guidellm failed"
    first, between = (metrics[name]["successful"]["percentiles"] for name in _TIMES)
    speed = metrics["output_tokens_per_second"]["successful"]["mean"]
    return Opinion(streams, speed, first["p50"], first["p99"], between["p50"], between["p99"])


def table(opinions: Sequence[dict[str, Any]]) -> str:
    """A line for each server and level."""
    head = ["", "streams", "tokens/s", "TTFT p50, ms", "p99", "ITL p50, ms", "p99"]
    lines = [[each["server"], str(each["streams"]), *(f"{each[name]:.1f}" for name in _SHOWN)] for each in opinions]
    return aligned([head, *lines])
