"""The servers of `make bench`, as data: a name, what serves it and which model. All get the same port, context and KV
cache and write no line for a request; everything else is each one's default."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fathom.engine import machine
from fathom.settings import EngineSettings

from tests.bench.servers import Running, running
from tests.running import free_port

CONTEXT = 2048
KV_GIB = 1.0

Command = Callable[[Path, int], list[str]]


@dataclass(frozen=True, slots=True, eq=False)
class Peer:
    """scheme: the model is quantized with it first. None: it is served as it is."""

    name: str
    command: Command
    environment: dict[str, str]
    ready: str
    scheme: str | None = None


def fathom_command(model: Path, port: int, more: Sequence[str] = ()) -> list[str]:
    sizes = ["--max-model-len", str(CONTEXT), "--kv-cache-memory", str(KV_GIB)]
    return [sys.executable, "-m", "fathom", "serve", str(model), "--port", str(port), *sizes, *more]


def vllm_command(model: Path, port: int) -> list[str]:
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--port", str(port)]
    sizes = ["--max-model-len", str(CONTEXT), "--kv-cache-memory-bytes", str(int(KV_GIB * (1 << 30)))]
    return [*command, *sizes, "--disable-uvicorn-access-log"]


def _vllm_environment() -> dict[str, str]:
    """No setting of ours, apart from what it cannot run without: where the system has no libnuma, our stand-in. Our
    plugins, which vLLM finds wherever Fathom is installed, are no part of it."""
    stub = [each for each in machine.choose(EngineSettings(preload=False)) if each.name == "LD_PRELOAD"]
    return {"VLLM_PLUGINS": "", "VLLM_NO_USAGE_STATS": "1", **{each.name: each.value for each in stub}}


_QUIET = {"FATHOM_TELEMETRY__LOG_LEVEL": "warning"}

FATHOM = Peer("fathom", fathom_command, _QUIET, "/readyz")
FATHOM_BF16 = Peer("fathom-bf16", partial(fathom_command, more=["--dtype", "bfloat16"]), _QUIET, "/readyz")
FATHOM_INT8 = Peer("fathom-int8", fathom_command, _QUIET, "/readyz", scheme="int8")
FATHOM_COMPILED = Peer("fathom-compiled", partial(fathom_command, more=["--compile", "on"]), _QUIET, "/readyz")
VLLM = Peer("vllm", vllm_command, _vllm_environment(), "/health")
PEERS = (FATHOM, FATHOM_BF16, FATHOM_INT8, FATHOM_COMPILED, VLLM)
BASE = VLLM.name
"""What ratios are to."""


@contextmanager
def started(peer: Peer, model: Path, *arguments: str) -> Iterator[Running]:
    """Once it is ready. Its database, if it has one, is an empty one."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        own = {**peer.environment, "FATHOM_STORE__URL": f"sqlite+aiosqlite:///{folder}/bench.db"}
        with running([*peer.command(model, port), *arguments], own, port, peer.ready) as server:
            yield server


def model_of(peer: Peer, model: Path, cache: Path) -> Path:
    """The folder that it serves; quantized into `cache` if it is not there yet. Raises Unavailable."""
    if peer.scheme is None:
        return model
    folder = cache / f"{model.name}-{peer.scheme}"
    if not (folder / "config.json").is_file():
        quantize(model, peer.scheme, folder)
    return folder


class Unavailable(Exception):
    """In one line: why a peer cannot be measured."""


def quantize(model: Path, scheme: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "fathom", "quantize", str(model), "--scheme", scheme, "--output", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if any(map(str.isalnum, line))]
        raise Unavailable(f"`fathom quantize --scheme {scheme}` failed: {said[-1].strip(' │') if said else 'silently'}")
