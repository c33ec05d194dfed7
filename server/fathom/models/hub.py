"""Hugging Face repositories: which of their files are taken, what is on disk already, and the child that downloads.

Resume is the library's: within a run, a broken connection goes on where it stopped; files that are complete are never
fetched again. Once every file is there, no network is needed.
"""

import re
import sys
import threading
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from fathom.core.engine import Phase, Progress
from fathom.core.errors import StartupError
from fathom.models import child, disk
from fathom.models.source import Hub

COMMAND = [sys.executable, "-m", "fathom.models.hub_download"]

_WANTED = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken")
_MODULES = ("[0-9]_*/config.json", "[0-9]_*/model.safetensors")  # a sentence encoder's pooling, and layers behind it
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_ANNOUNCED = re.compile(r"^missing bytes: (\d+)$")


def prepare(
    source: Hub, cache: Path, progress: Progress, cancel: threading.Event, *, code: bool, refresh: bool
) -> Path:
    """The folder of the repository's files, downloaded if need be. `refresh` asks the hub for a newer commit first."""
    found = None if refresh else on_disk(source, cache, code=code)
    if found:
        return found
    repository = cache / f"models--{source.id.replace('/', '--')}"
    with disk.exclusive(repository, cancel):
        for leftover in repository.glob("blobs/*.incomplete"):  # of a killed run; the library does not take them up
            leftover.unlink()
        _download(source, cache, repository, progress, cancel, code=code)
    found = on_disk(source, cache, code=code)
    if found is None:
        raise StartupError(f"the download of {source.id} is not complete: run it again.")
    return found


def on_disk(source: Hub, cache: Path, *, code: bool) -> Path | None:
    """The folder, if every file that is wanted of it is there."""
    from huggingface_hub import get_cached_repo_tree, try_to_load_from_cache  # 0.2 s that only hub models pay
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    revision = source.revision or "main"
    config = try_to_load_from_cache(source.id, "config.json", cache_dir=cache, revision=revision)
    if not isinstance(config, str):
        return None
    try:
        tree = get_cached_repo_tree(source.id, cache_dir=cache, revision=revision)
    except CachedRepoTreeNotFoundError:
        return None
    folder = Path(config).parent
    names = select((file.path for file in tree), source.id, code=code)
    return folder if all((folder / name).exists() for name in names) else None


def select(names: Iterable[str], repository: str, *, code: bool) -> list[str]:
    """The files to take: safetensors, config and tokenizer at the top of the repository, and the modules of a sentence
    encoder. Raises StartupError."""
    names = list(names)
    top = [name for name in names if "/" not in name]  # below lie other formats of the same weights
    wanted = [name for name in top if _matches(name, (*_WANTED, "*.py") if code else _WANTED)]
    weights = [name for name in wanted if name.endswith(".safetensors")]
    if not weights:
        pickles = [name for name in top if _matches(name, _PICKLES)]
        raise StartupError(
            f"{repository} has only pickled weights ({pickles[0]}), which can run any code when they are loaded: "
            "choose a repository with safetensors."
            if pickles
            else f"{repository} has no safetensors weights: choose a repository that has."
        )
    if any(name.startswith("model") for name in weights):  # "consolidated" files hold the same weights again
        wanted = [name for name in wanted if not name.startswith("consolidated")]
    return wanted + [name for name in names if _matches(name, _MODULES)]


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _download(
    source: Hub, cache: Path, repository: Path, progress: Progress, cancel: threading.Event, *, code: bool
) -> None:
    before, missing = disk.size(repository), 0

    def announce(line: str) -> None:
        nonlocal missing
        if announced := _ANNOUNCED.match(line):
            missing = int(announced[1])
            disk.require_space(cache, missing)

    def report() -> None:
        if missing:
            progress(Phase.DOWNLOADING, min(1.0, (disk.size(repository) - before) / missing))

    progress(Phase.DOWNLOADING, None)
    options = ["--code"] if code else []
    try:
        child.run(
            [*COMMAND, source.id, source.revision or "main", str(cache), *options],
            cancel=cancel,
            on_line=announce,
            on_tick=report,
            env={"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"},
        )
    except child.ChildFailed as error:
        raise StartupError(str(error)) from None
    progress(Phase.DOWNLOADING, 1.0)
