"""Running the servers that are compared, one at a time, on the same model: Fathom, and vLLM's own with the settings
that Fathom chooses. peers.py has vLLM's with its own."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from fathom.engine import machine
from fathom.settings import EngineSettings, default_home

from tests.running import free_port, until

MODEL = default_home() / "models" / "embedded" / "smollm2-135m"
_KV_BYTES = 1 << 30
_SECONDS_TO_START = 900


@dataclass(frozen=True, slots=True)
class Running:
    """pid: of the process that listens, which is the one that was started. ready: seconds from its start to ready."""

    url: str
    pid: int
    ready: float


@contextmanager
def fathom(seqs: int, **settings: object) -> Iterator[str]:
    """Its URL, once it is ready."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        given = {
            "engine.max_num_seqs": seqs,
            "engine.kv_cache_memory": _KV_BYTES / (1 << 30),
            "store.url": f"sqlite+aiosqlite:///{folder}/bench.db",
            "telemetry.log_level": "warning",
            **settings,
        }
        command = [sys.executable, "-m", "tests.bench.tenants", str(port)]
        with running([*command, *(f"{name}={value}" for name, value in given.items())], {}, port, "/readyz") as server:
            yield server.url


@contextmanager
def vllm(seqs: int) -> Iterator[str]:
    """With what Fathom chooses for this machine."""
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(MODEL), "--port", str(port)]
    command += ["--max-num-seqs", str(seqs), "--kv-cache-memory-bytes", str(_KV_BYTES), "--enforce-eager"]
    command += ["--disable-uvicorn-access-log"]
    chosen = {choice.name: choice.value for choice in machine.choose(EngineSettings())}
    with running(command, {**chosen, "VLLM_LOGGING_LEVEL": "ERROR"}, port, "/health") as server:
        yield server.url


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str], port: int, ready: str) -> Iterator[Running]:
    """Once it answers 200 at the path `ready`. Fails with the end of its log if it ends before."""
    url = f"http://127.0.0.1:{port}"
    with tempfile.NamedTemporaryFile() as log:
        began = time.monotonic()
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **environment}, cwd=Path.cwd()
        )

        def is_ready() -> bool:
            assert process.poll() is None, f"the server ended:\n{Path(log.name).read_text()[-3000:]}"
            try:
                return httpx.get(url + ready, timeout=5).status_code == 200
            except httpx.TransportError:
                return False

        try:
            until(is_ready, f"{command[2]} is ready", _SECONDS_TO_START)
            yield Running(url, process.pid, time.monotonic() - began)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
