import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fathom.core.errors import StartupError
from fathom.models import child


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def is_running(pid: int) -> bool:
    """A zombie has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends_within(pid: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not is_running(pid)


def test_lines_of_both_outputs_arrive_and_a_bar_that_redraws_itself_is_many_lines() -> None:
    lines: list[str] = []
    code = "import sys; print('one'); sys.stdout.flush(); sys.stderr.write('1/2\\r2/2\\nlast')"
    child.run(python(code), cancel=threading.Event(), on_line=lines.append)
    assert lines == ["one", "1/2", "2/2", "last"]


def test_a_failure_carries_the_last_line() -> None:
    with pytest.raises(child.ChildFailed, match=r"^ValueError: no such thing$"):
        child.run(python("raise ValueError('no such thing')"), cancel=threading.Event())


def test_a_silent_failure_carries_its_status() -> None:
    with pytest.raises(child.ChildFailed, match=r"^it ended with status 3$"):
        child.run(python("raise SystemExit(3)"), cancel=threading.Event())


def test_ticks_come_while_the_child_is_silent() -> None:
    ticks: list[float] = []
    child.run(
        python("import time; time.sleep(0.8)"), cancel=threading.Event(), on_tick=lambda: ticks.append(time.monotonic())
    )
    assert len(ticks) >= 2


def test_cancelling_ends_the_child() -> None:
    cancel, pids = threading.Event(), list[int]()

    def remember(line: str) -> None:
        pids.append(int(line))
        cancel.set()

    with pytest.raises(StartupError, match=r"stopped before the model was ready"):
        child.run(python("import os, time; print(os.getpid()); time.sleep(60)"), cancel=cancel, on_line=remember)
    assert not is_running(pids[0])


def test_a_killed_parent_takes_its_child_along() -> None:
    code = (
        "import sys, threading; from fathom.models import child; "
        "child.run([sys.executable, '-c', 'import os, time; print(os.getpid()); time.sleep(60)'], "
        "cancel=threading.Event(), on_line=lambda line: print(line, flush=True))"
    )
    with subprocess.Popen(python(code), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        os.kill(parent.pid, signal.SIGKILL)
    assert ends_within(pid, seconds=5)


def test_a_child_whose_parent_has_gone_before_it_began_ends_at_once() -> None:
    command = [sys.executable, "-m", "fathom.models.child", "1", *python("print('ran')")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "ran" not in ended.stdout
