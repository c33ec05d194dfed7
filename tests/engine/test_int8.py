"""The embedded model in INT8, forced, so that any CPU shows whether vLLM reads what `fathom quantize` writes; and with
the linear layers of CPUs without AVX-512 and of those with AVX-512 and no AMX, also those of 16 bits, which it has."""

import re
from pathlib import Path

import pytest
from fathom.engine import decided, machine

from tests.running import start_server

BLOCKS = pytest.param(
    "auto",
    "weights in blocks, for SGLang's kernels",
    marks=pytest.mark.skipif(not decided.in_blocks(machine.cpu_flags()), reason="this CPU has other ways"),
)


@pytest.mark.parametrize(("packed", "layers"), [("on", "weights in float16, packed for FBGEMM"), BLOCKS])
def test_the_embedded_model_answers_in_int8_under_its_own_name(packed: str, layers: str, tmp_path: Path):
    options = (
        "--dtype",
        "int8",
        "--set",
        f"engine.packed_weights={packed}",
        "--kv-cache-memory",
        "0.5",
        "--log-format",
        "json",
    )
    server = start_server(tmp_path / "log", *options)
    try:
        server.wait_ready()
        body = server.chat("What is the capital of France?", max_tokens=40, enable_thinking=False)
        assert body["model"] == "smollm2-135m"
        assert "Paris" in body["choices"][0]["message"]["content"]
        log = server.log.read_text()
        assert re.search(r"int8 \((bfloat16|float32) model\)", log)
        assert f'"name": "linear layers", "value": "{layers}"' in log
        assert '"name": "weights of the embedded model", "value": "int8", "why": "engine.dtype"' in log
        assert '"name": "layers", "value": "straight to their kernels"' in log
        assert "cygrpc" not in Path(f"/proc/{server.process.pid}/maps").read_text()  # of vLLM's tracing
    finally:
        server.stop()


def test_int8_of_another_model_ends_the_start_with_the_way_to_it(tmp_path: Path):
    server = start_server(tmp_path / "log", "qwen3-8b", "--dtype", "int8")
    try:
        assert server.process.wait(60) == 1
        assert "fathom quantize qwen3-8b --scheme int8" in server.log.read_text()
    finally:
        server.kill()
