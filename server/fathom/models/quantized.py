"""From a model's folder to a quantized one, in child processes: what can be, how large it gets, what it costs."""

import json
import re
import shutil
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fathom.core.engine import Phase, Progress
from fathom.core.errors import StartupError
from fathom.models import child, disk, facts, memory, weights
from fathom.models.projections import is_quantized, is_stack_of_experts
from fathom.models.schemes import Scheme

COMMAND = [sys.executable, "-m", "fathom.models.quantization"]
QUALITY_COMMAND = [sys.executable, "-m", "fathom.models.quality"]
QUALITY_FILE = "quality.json"

_GIB = 1 << 30
_WEIGHTS = ("*.safetensors", weights.INDEX, "*.bin", "*.pt", "*.pth", "*.ckpt", "*.gguf", "config.json", QUALITY_FILE)
_OTHER_SENSES = ("vision_config", "audio_config")
_QUANTIZED = re.compile(r"^quantized (\d+)$")
_MEASURED = re.compile(r"^measured (\d+)/(\d+)$")
_MEASURING_BYTES = 2 * _GIB  # Python with torch, and the logits of one piece of text
_OFFLINE = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True, slots=True)
class Measured:
    """What quality.json says. agreement: share of tokens, 0 to 1."""

    text: str
    tokens: int
    original: float
    quantized: float
    agreement: float

    @property
    def change(self) -> float:
        """Of the perplexity: 0.01 is one percent more."""
        return self.quantized / self.original - 1


def check(name: str, model: Path, config: Mapping[str, Any], scheme: Scheme) -> None:
    """Raises StartupError, in one line, for a model that can't be quantized."""
    for part in (config, facts.text_config(config)):
        given = part.get("quantization_config") or part.get("compression_config")
        if isinstance(given, dict):
            method = given.get("quant_method") or given.get("format") or "its config says so"
            raise StartupError(f"{name} is quantized already ({method}): serve it as it is, or name the original.")
    if any(config.get(sense) for sense in _OTHER_SENSES):
        raise StartupError(f"{name} sees or hears besides reading: only models of text can be quantized.")
    tensors = weights.tensors(model)
    stack = next((each.name for each in tensors if is_stack_of_experts(each.name, each.shape)), None)
    if stack:
        raise StartupError(f"{name} keeps all experts in one tensor ({stack}), which has no place for their scales.")
    if not any(is_quantized(each.name, each.shape, scheme) for each in tensors):
        raise StartupError(f"{name} has no projections by a name that Fathom knows, such as layers.0.mlp.up_proj.")


def expected_bytes(model: Path, scheme: Scheme) -> int:
    """Of the quantized weights: a byte a number, and a scale of four for each output."""
    return sum(
        each.numbers + 4 * each.shape[0] if is_quantized(each.name, each.shape, scheme) else each.bytes
        for each in weights.tensors(model)
    )


def write(model: Path, target: Path, scheme: Scheme, progress: Progress, cancel: threading.Event) -> None:
    """Fill the folder `target` with the quantized model. Raises StartupError in one line."""
    disk.require_space(target, expected_bytes(model, scheme))
    done, total = 0, weights.read(model).bytes

    def report(line: str) -> None:
        nonlocal done
        if found := _QUANTIZED.match(line):
            done += int(found[1])
            progress(Phase.QUANTIZING, min(1.0, done / total))

    progress(Phase.QUANTIZING, 0.0)
    _copy_the_rest(model, target)
    try:
        child.run([*COMMAND, str(model), str(target), scheme.name], cancel=cancel, on_line=report, env=_OFFLINE)
    except child.ChildFailed as error:
        raise StartupError(f"cannot quantize {model}: {error}") from None
    progress(Phase.QUANTIZING, 1.0)


def _copy_the_rest(model: Path, target: Path) -> None:
    """Tokenizer, template, licence: all files that are no weights. Of a hub's cache they are links."""
    skipped = {path for pattern in _WEIGHTS for path in model.glob(pattern)}
    for path in model.iterdir():
        if path.is_file() and path not in skipped and not path.name.startswith("."):
            shutil.copyfile(path, target / path.name)


def too_large_to_measure(model: Path, available: int | None = None) -> str | None:
    """Why there is no report, where memory is too small for the model in float32."""
    needed = 4 * sum(each.numbers for each in weights.tensors(model)) + _MEASURING_BYTES
    available = memory.available_memory() if available is None else available
    if needed <= available:
        return None
    return f"it takes {needed / _GIB:.1f} GiB of memory (the model in float32), and {available / _GIB:.1f} are free"


def measure(
    model: Path, target: Path, scheme: Scheme, tell: Callable[[float], None], cancel: threading.Event, *, trust: bool
) -> Measured | str:
    """Write quality.json into `target`. A report that can't be made is no error: then this is the reason."""
    lines: list[str] = []

    def follow(line: str) -> None:
        lines.append(line)
        if found := _MEASURED.match(line):
            tell(int(found[1]) / int(found[2]))

    options = ["--trust-remote-code"] if trust else []
    try:
        child.run(
            [*QUALITY_COMMAND, str(model), str(target), scheme.name, *options],
            cancel=cancel,
            on_line=follow,
            env=_OFFLINE,
        )
    except child.ChildFailed as error:
        return str(error)
    report = json.loads(lines[-1])
    (target / QUALITY_FILE).write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    perplexity = report["perplexity"]
    return Measured(
        report["text"], report["tokens"], perplexity["original"], perplexity["quantized"], report["greedy_agreement"]
    )
