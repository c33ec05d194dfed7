"""JavaScript clients: the openai SDK, and Vercel's AI SDK with its providers `openai-compatible` and `deepseek`."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contract.cases import Forecast

SCRIPTS = Path(__file__).with_name("node")
FOLDER = Path(sys.prefix) / "contract-node"  # where they run, beside their packages
OLDEST = 18
OPENAI, COMPATIBLE, DEEPSEEK = "openai.mjs", "ai-openai-compatible.mjs", "ai-deepseek.mjs"
ALL = pytest.mark.parametrize("script", [OPENAI, COMPATIBLE, DEEPSEEK])
VERCEL = pytest.mark.parametrize("script", [COMPATIBLE, DEEPSEEK])


@pytest.fixture(scope="session")
def node() -> str:
    """Path of node, with the pinned packages installed (a few seconds, once for each change of the lock)."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed: apt-get install nodejs npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(re.findall(r"\d+", version)[0]) < OLDEST:
        pytest.skip(f"node is {version.strip()}; these clients run on {OLDEST} and later")
    install_packages(npm)
    return node


def install_packages(npm: str) -> None:
    shutil.copytree(SCRIPTS, FOLDER, dirs_exist_ok=True)
    lock = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    stamp = FOLDER / "node_modules" / ".fathom"
    if stamp.exists() and stamp.read_text() == lock:
        return
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier")
    done = subprocess.run([npm, "ci", *quiet], cwd=FOLDER, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"npm ci failed:\n{done.stdout}{done.stderr}"
    stamp.write_text(lock)


@pytest.fixture
def run(node, recorder):
    """Runs a scenario of a script and returns what it printed."""

    def run(script: str, scenario: str) -> dict[str, Any]:
        done = subprocess.run(
            [node, "--import", "./guard.mjs", script, recorder.url, scenario],
            cwd=FOLDER,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    return run


@ALL
def test_it_shows_trace_and_answer(run, script):
    result = run(script, "chat")
    assert result["text"]
    assert result["reasoning"]
    assert result.get("requestId", "id")
    assert result.get("reasoningTokens", 1) > 0


@ALL
def test_it_streams_trace_and_answer(run, script):
    whole, streamed = run(script, "chat"), run(script, "stream")
    assert (streamed["text"], streamed["reasoning"]) == (whole["text"], whole["reasoning"])


@VERCEL
def test_its_parts_come_in_order(run, script):
    kinds = run(script, "stream")["kinds"]
    first = [kinds.index(kind) for kind in ("reasoning-start", "reasoning-delta", "text-start", "text-delta", "finish")]
    assert first == sorted(first)
    assert kinds.count("reasoning-start") == kinds.count("text-start") == 1


@ALL
def test_it_calls_a_tool(run, script):
    result = run(script, "tool")
    assert result["reasoning"]
    assert result["calls"]
    for call in result["calls"]:
        Forecast.model_validate(call)


@ALL
def test_it_streams_a_call(run, script):
    result = run(script, "streamedTool")
    assert json.loads("".join(result["pieces"])) == result["calls"][0]
    Forecast.model_validate(result["calls"][0])


@VERCEL
def test_its_tool_loop_reads_the_result(run, script):
    result = run(script, "toolLoop")
    assert "sun" in result["results"]
    assert result["text"]


@pytest.mark.parametrize("script", [OPENAI, COMPATIBLE])
def test_it_gives_a_structure(run, script):
    result = run(script, "structure")
    Forecast.model_validate(result["object"])
    assert result["reasoning"]


def test_the_sdk_continues_text(run):
    assert run(OPENAI, "completion")["text"].startswith("The sky is")


def test_errors_arrive_as_the_sdks_own(run):
    result = run(OPENAI, "error")
    assert result["missing"] == {"class": "NotFoundError", "status": 404, "code": "model_not_found"}
    assert result["bad"] == {"class": "BadRequestError", "status": 400, "param": "temperature"}


@VERCEL
def test_errors_arrive_as_vercels_own(run, script):
    missing = run(script, "error")["missing"]
    assert (missing["class"], missing["statusCode"]) == ("APICallError", 404)
    assert missing["message"]


def test_the_guard_refuses_other_machines(node):
    fetching = "fetch('http://192.0.2.1/').catch((error) => console.log(error.cause?.message ?? error.message))"
    command = [node, "--import", "./guard.mjs", "--input-type=module", "--eval", fetching]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=30, check=True)
    assert "192.0.2.1 is not this machine" in done.stdout
