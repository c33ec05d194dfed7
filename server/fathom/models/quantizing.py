"""`fathom quantize`, from a prepared model to a new folder with a report of what it costs."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fathom.core.engine import Phase, Progress
from fathom.core.errors import StartupError
from fathom.models import disk, quantized, weights
from fathom.models.fetch import PreparedModel
from fathom.models.quantized import Measured
from fathom.models.schemes import Scheme

_WEIGHTS_SHARE = 0.3  # of the time, where there is a report


@dataclass(frozen=True, slots=True)
class Made:
    """before, after: bytes of weights. report: what was measured, or why nothing was."""

    path: Path
    scheme: str
    before: int
    after: int
    report: Measured | str


def make(
    model: PreparedModel,
    scheme: Scheme,
    output: Path | None,
    home: Path,
    progress: Progress,
    *,
    force: bool = False,
    report: bool = True,
    trust: bool = False,
    cancel: threading.Event | None = None,
) -> Made:
    """A folder that appears whole, at `output` or in models/quantized. Raises StartupError in one line."""
    cancel = cancel or threading.Event()
    quantized.check(model.id, model.path, model.facts.config, scheme)
    target = output or home / "models" / "quantized" / f"{model.id.replace('/', '--')}-{scheme.name}"
    why_not = quantized.too_large_to_measure(model.path) if report else "--no-report"
    share = 1.0 if why_not else _WEIGHTS_SHARE

    def weights_done(phase: Phase, done: float | None) -> None:
        progress(phase, None if done is None else done * share)

    def measured(done: float) -> None:
        progress(Phase.QUANTIZING, share + done * (1 - share))

    with _place(target, cancel, shared=output is None):
        _check_target(target, force=force)
        with disk.building(target, replace=force) as partial:
            quantized.write(model.path, partial, scheme, weights_done, cancel)
            found = why_not or quantized.measure(model.path, partial, scheme, measured, cancel, trust=trust)
            after = weights.read(partial).bytes
    progress(Phase.QUANTIZING, 1.0)
    return Made(target, scheme.name, model.facts.weight_bytes, after, found)


def _check_target(target: Path, *, force: bool) -> None:
    """Raises StartupError if something is there that must not be replaced."""
    if not target.exists() and not target.is_symlink():
        return
    if not _is_quantized(target):
        raise StartupError(f"{target} exists and is no quantized model: name another folder with --output.")
    if not force:
        raise StartupError(f"{target} exists already: serve it, replace it with --force, or name another --output.")


def _is_quantized(folder: Path) -> bool:
    try:
        return "quantization_config" in json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return False


@contextmanager
def _place(target: Path, cancel: threading.Event, *, shared: bool) -> Iterator[None]:
    """Where the folder is made. In FATHOM_HOME one process works at a time; the user's own get no lock file."""
    if shared:
        with disk.exclusive(target.parent, cancel):
            yield
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"cannot write to {target.parent} ({error.strerror}): name another --output.") from None
    yield
