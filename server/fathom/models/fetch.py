"""From what the user typed to a folder that the engine can load."""

import threading
from dataclasses import dataclass, replace
from pathlib import Path

from fathom.core.engine import Progress
from fathom.models import catalogue, disk, embedded, folder, gguf_file, hub
from fathom.models.catalogue import Entry
from fathom.models.facts import ModelFacts
from fathom.models.schemes import INT8
from fathom.models.source import Embedded, Folder, GgufFile, Hub, parse


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A model on disk, checked. `id` is what clients call it unless told otherwise, `source` where it came from."""

    id: str
    path: Path
    source: str
    facts: ModelFacts
    entry: Entry | None = None


def prepare(
    model: str | None,
    home: Path,
    progress: Progress,
    trust_remote_code: bool = False,
    *,
    cancel: threading.Event | None = None,
    refresh: bool = False,
) -> PreparedModel:
    """Fetch, convert and check, as far as that is not done yet. Blocks; setting `cancel` in another thread ends it.

    refresh: ask the hub whether there is a newer commit, even when the model is on disk.
    Raises StartupError in one line.
    """
    cancel, models = cancel or threading.Event(), home / "models"
    match parse(model):
        case Embedded():
            path = embedded.prepare(models / "embedded", progress, cancel)
            name, origin, entry = catalogue.DEFAULT, embedded.REQUIREMENT, catalogue.lookup(catalogue.DEFAULT)
        case Hub() as source:
            path = hub.prepare(source, models / "hub", progress, cancel, code=trust_remote_code, refresh=refresh)
            name, origin, entry = source.name, f"{source.id}@{source.revision or 'main'}", catalogue.lookup(source.id)
        case GgufFile(file):
            path = gguf_file.prepare(file, models / "gguf", progress, cancel)
            name, origin, entry = file.stem, str(file), None
        case Folder(path):
            name, origin, entry = path.resolve().name, str(path), None
    facts = folder.inspect(path, trust_remote_code=trust_remote_code)
    return PreparedModel(name, path, origin, facts, entry)


def in_int8(model: PreparedModel, home: Path, progress: Progress, cancel: threading.Event) -> PreparedModel:
    """The embedded model with weights in INT8, made the first time. Raises StartupError in one line."""
    path = embedded.in_int8(home / "models" / "embedded", progress, cancel)
    return replace(model, path=path, facts=folder.inspect(path))


def stored(home: Path) -> dict[str, int]:
    """What is on disk under `home`: model name (alias of the embedded one, hub id, name of a folder) -> bytes."""
    models = home / "models"
    found = {
        catalogue.DEFAULT: models / "embedded" / catalogue.DEFAULT,
        **{path.name.removeprefix("models--").replace("--", "/"): path for path in models.glob("hub/models--*")},
        **{path.name: path for path in sorted(models.glob("gguf/[!.]*"))},
        f"{catalogue.DEFAULT} (int8)": models / "embedded" / f"{catalogue.DEFAULT}-{INT8.name}",
        **{f"quantized/{path.name}": path for path in sorted(models.glob("quantized/[!.]*"))},
    }
    return {name: disk.size(path) for name, path in found.items() if path.is_dir()}
