"""Scripts of JavaScript clients. Each is a process that runs one scenario after the other: loading them takes long."""

import hashlib
import json
import os
import re
import selectors
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).with_name("node")
FOLDER = Path(sys.prefix) / "contract-node"  # where they run, beside their packages
OLDEST = 18
PATIENCE = 120  # seconds


class Scripts:
    """Started when they are first asked for."""

    def __init__(self, node: str, url: str) -> None:
        self._node, self._url = node, url
        self._processes: dict[str, subprocess.Popen[str]] = {}

    def run(self, script: str, scenario: str) -> dict[str, Any]:
        process = self._processes.get(script) or self._start(script)
        assert process.stdin
        process.stdin.write(f"{scenario}\n")
        process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line(process, script, scenario))
        assert "failed" not in answer, f"{script} {scenario}: {answer['failed']}"
        result: dict[str, Any] = answer["result"]
        return result

    def stop(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.communicate()

    def _line(self, process: subprocess.Popen[str], script: str, scenario: str) -> str:
        assert process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            ready = selector.select(PATIENCE)
        line = process.stdout.readline() if ready else ""
        if not line:
            self._processes.pop(script).kill()
            raise AssertionError(f"{script} {scenario}: no answer within {PATIENCE} s, or it ended; see its stderr")
        return line

    def _start(self, script: str) -> subprocess.Popen[str]:
        self._processes[script] = subprocess.Popen(
            [self._node, "--import", "./guard.mjs", script, self._url],
            cwd=FOLDER,
            env={"PATH": os.environ["PATH"]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self._processes[script]


def installed_node() -> str:
    """Path of node, with the pinned packages installed (a few seconds, once for each change of the lock)."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed: apt-get install nodejs npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(re.findall(r"\d+", version)[0]) < OLDEST:
        pytest.skip(f"node is {version.strip()}; these clients run on {OLDEST} and later")
    _install_packages(npm)
    return node


def _install_packages(npm: str) -> None:
    shutil.copytree(SCRIPTS, FOLDER, dirs_exist_ok=True)
    lock = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    stamp = FOLDER / "node_modules" / ".fathom"
    if stamp.exists() and stamp.read_text() == lock:
        return
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier")
    done = subprocess.run([npm, "ci", *quiet], cwd=FOLDER, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"npm ci failed:\n{done.stdout}{done.stderr}"
    stamp.write_text(lock)
