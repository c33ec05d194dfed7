"""Files under FATHOM_HOME: one writer at a time, and folders that appear whole or not at all."""

import os
import shutil
import stat
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from fathom.core.errors import StartupError

_PARTIAL = ".partial-"
_GIB = 1 << 30


@contextmanager
def exclusive(folder: Path, cancel: threading.Event) -> Iterator[None]:
    """Hold `folder` against other processes, waiting for them, and clear away what killed ones left half-made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f".{folder.name}.lock")
        _acquire(lock, cancel)
    except OSError as error:
        raise StartupError(
            f"cannot write to {folder} ({error.strerror}): set FATHOM_HOME to a folder of yours."
        ) from None
    try:
        for leftover in folder.glob(f"{_PARTIAL}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, cancel: threading.Event) -> None:
    while True:
        try:
            lock.acquire(timeout=0.5)
        except Timeout:
            if cancel.is_set():
                raise StartupError("stopped before the model was ready.") from None
        else:
            return


@contextmanager
def building(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """A new folder to fill. It becomes `target` in one step, on disk for good, unless the block raises. replace: what
    is at `target` gives way, in the moment before."""
    partial, old = _beside(target), _beside(target)
    partial.mkdir()
    try:
        yield partial
        for path in partial.rglob("*"):
            _sync(path)
        _sync(partial)
        if replace and target.exists():
            target.rename(old)
        partial.rename(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _beside(target: Path) -> Path:
    return target.parent / f"{_PARTIAL}{uuid.uuid4().hex[:8]}"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def size(folder: Path) -> int:
    """Bytes in the files below `folder`, links not counted. Files may come and go meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                facts = os.lstat(os.path.join(parent, name))
                if stat.S_ISREG(facts.st_mode):
                    total += min(facts.st_size, facts.st_blocks * 512)  # a file may be stretched before it is filled
    return total


def require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StartupError(
            f"not enough disk space: {needed / _GIB:.1f} GiB are needed, {free / _GIB:.1f} GiB free in {folder}; "
            "free some, or set FATHOM_HOME to a folder on another disk."
        )
