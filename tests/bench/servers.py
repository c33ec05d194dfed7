"""The servers that are compared, on the same model, one at a time: Fathom, Fathom without fairness, vLLM's own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from fathom.engine import machine
from fathom.settings import EngineSettings, default_home

from tests.running import free_port, until

MODEL = default_home() / "models" / "embedded" / "smollm2-135m"
_KV_BYTES = 1 << 30


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
        with _running([*command, *(f"{name}={value}" for name, value in given.items())], {}, port, "/readyz") as url:
            yield url


@contextmanager
def vllm(seqs: int) -> Iterator[str]:
    """With what Fathom chooses for this machine."""
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(MODEL), "--port", str(port)]
    command += ["--max-num-seqs", str(seqs), "--kv-cache-memory-bytes", str(_KV_BYTES), "--enforce-eager"]
    command += ["--disable-uvicorn-access-log"]
    chosen = {choice.name: choice.value for choice in machine.choose(EngineSettings())}
    with _running(command, {**chosen, "VLLM_LOGGING_LEVEL": "ERROR"}, port, "/health") as url:
        yield url


@contextmanager
def _running(command: list[str], environment: dict[str, str], port: int, ready: str) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}"
    with tempfile.NamedTemporaryFile() as log:
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
            until(is_ready, f"{command[2]} is ready", 280)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
