"""GGUF files, which the engine cannot serve on CPU: each is converted once, by a child process."""

import hashlib
import re
import sys
import threading
from pathlib import Path

from fathom.core.engine import Phase, Progress
from fathom.core.errors import StartupError
from fathom.models import child, disk

COMMAND = [sys.executable, "-m", "fathom.models.conversion"]

_BAR = re.compile(r"^(?P<stage>[A-Z][a-z]+)[^:]*:.*\s(?P<done>\d+)/(?P<total>\d+)\s")
_STAGES = {  # what the child says -> the share of a conversion's time that lies before it, and that it takes
    "reading": (0.2, 0.0),
    "Converting": (0.5, 0.25),
    "Loading": (0.75, 0.02),
    "Writing": (0.77, 0.08),
    "tokenizer": (0.85, 0.0),
}


def prepare(path: Path, folder: Path, progress: Progress, cancel: threading.Event) -> Path:
    """The user's file, converted into folder/<stem>-<hash> unless it is there. A changed file is converted anew."""
    facts = path.stat()
    digest = hashlib.sha256(f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns}".encode()).hexdigest()[:8]
    target = folder / f"{path.stem}-{digest}"
    if not target.is_dir():
        with disk.exclusive(folder, cancel):
            if not target.is_dir():
                convert(path, target, progress, cancel)
    return target


def convert(path: Path, target: Path, progress: Progress, cancel: threading.Event) -> None:
    """Make `target`, whole or not at all. The caller holds its folder. Raises StartupError in one line."""
    check(path)
    progress(Phase.CONVERTING, 0.0)
    with disk.building(target) as partial:
        try:
            child.run(
                [*COMMAND, str(path), str(partial)],
                cancel=cancel,
                on_line=lambda line: _report(line, progress),
                env={"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
            )
        except child.ChildFailed as error:
            raise StartupError(f"cannot convert {path} to safetensors: {error}") from None
    progress(Phase.CONVERTING, 1.0)


def check(path: Path) -> None:
    """Raises StartupError for what cannot be converted."""
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise StartupError(f"{path} is not a GGUF file: it does not begin with the letters GGUF.")
    if re.search(r"-\d{5}-of-\d{5}$", path.stem):
        raise StartupError(
            f"{path} is one part of a split GGUF file: merge the parts first (llama-gguf-split --merge)."
        )


def _report(line: str, progress: Progress) -> None:
    bar = _BAR.match(line)
    stage, within = (bar["stage"], int(bar["done"]) / max(1, int(bar["total"]))) if bar else (line, 0.0)
    if stage in _STAGES:
        before, length = _STAGES[stage]
        progress(Phase.CONVERTING, before + length * within)
