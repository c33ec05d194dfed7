"""What is known of a model before anything is fetched: from its files if they are on disk, else from the hub's headers,
else from the catalogue."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fathom.core.errors import StartupError
from fathom.models import catalogue, embedded, facts, folder, gguf_file, gguf_header, hub, sizes, weights
from fathom.models.catalogue import Entry
from fathom.models.facts import ModelFacts
from fathom.models.sizes import Part, Role, Sizes
from fathom.models.source import Embedded, Folder, GgufFile, Hub, parse
from fathom.models.weights import Tensor, Weights

_STORED = {"fp8": "F8_E4M3", "mxfp4": "U8"}  # quantization methods -> the type that most bytes have


@dataclass(frozen=True, slots=True)
class Outline:
    """`id` is what clients would call the model, `known_from` says where these figures come from."""

    id: str
    source: str
    known_from: str
    facts: ModelFacts
    sizes: Sizes


def outline(model: str | None, home: Path) -> Outline:
    """Reads headers only, and writes nothing. Raises StartupError in one line."""
    match parse(model):
        case Embedded():
            path = home / "models/embedded" / catalogue.DEFAULT
            if path.is_dir():
                return _of_folder(path, catalogue.DEFAULT, embedded.REQUIREMENT)
            return _of_entry(_embedded(), catalogue.DEFAULT, embedded.REQUIREMENT, "the catalogue; it is not on disk")
        case Hub() as source:
            return _of_hub(source, home / "models/hub")
        case GgufFile(file):
            gguf_file.check(file)
            header = gguf_header.read(file)
            return _of_tensors(file.stem, str(file), "its header; as converted", header.config, header.tensors)
        case Folder(path):
            return _of_folder(path, path.resolve().name, str(path))


def _of_folder(path: Path, name: str, source: str) -> Outline:
    found = folder.inspect(path, trust_remote_code=True)  # nothing is run here
    return Outline(name, source, "files on disk", found, sizes.measure(weights.tensors(path), found.config))


def _of_hub(source: Hub, cache: Path) -> Outline:
    origin = f"{source.id}@{source.revision or 'main'}"
    if path := hub.on_disk(source, cache, code=False):
        return _of_folder(path, source.name, origin)
    from fathom.models import hub_headers  # 0.2 s that only hub models pay

    try:
        config, tensors = hub_headers.read(source)
    except StartupError as error:
        entry = catalogue.lookup(source.id)
        if entry is None or source.revision:
            raise
        return _of_entry(entry, source.name, origin, f"the catalogue; {error}")
    return _of_tensors(source.name, origin, "the hub's headers; no weights were fetched", config, tensors)


def _of_tensors(
    name: str, source: str, known_from: str, config: Mapping[str, Any], tensors: list[Tensor] | tuple[Tensor, ...]
) -> Outline:
    if not sum(tensor.bytes for tensor in tensors):
        raise StartupError(f"{source} has no weights.")
    context = facts.context_length(facts.text_config(config))
    found = facts.from_config(config, weights.total(tensors), context)
    return Outline(name, source, known_from, found, sizes.measure(tensors, config))


def _of_entry(entry: Entry, name: str, source: str, known_from: str) -> Outline:
    found = entry_sizes(entry)
    dtype = next(iter(found.bytes_by_dtype))
    known = facts.from_config(entry.config, Weights(found.bytes, dtype), entry.context)
    return Outline(name, source, known_from, known, found)


def entry_sizes(entry: Entry) -> Sizes:
    """As close as the catalogue is: sizes there have three digits."""
    stored, config = round(entry.size_gb * 1e9), entry.config
    method = (config.get("quantization_config") or {}).get("quant_method")
    whole = _billions(entry.parameters) if method else stored // 2  # of bfloat16, which says it closer than "8.2B"
    used, of = facts.experts(config)
    embedding = int(config["vocab_size"]) * int(config["hidden_size"])
    counts = {Role.EMBEDDING: embedding, Role.HEAD: embedding if entry.head else 0, Role.EXPERTS: _experts(config, of)}
    counts[Role.ATTENTION_INPUTS] = _attention_inputs(config)
    counts[Role.LINEAR] = whole - sum(counts.values())
    wide = {Role.EMBEDDING, Role.HEAD} | ({Role.LINEAR, Role.ATTENTION_INPUTS} if method == "mxfp4" else set())
    two_bytes = 2 * sum(counts[role] for role in wide)
    width = (stored - two_bytes) / (whole - two_bytes // 2)
    parts = {role: Part(count, round(count * (2 if role in wide else width))) for role, count in counts.items()}
    return Sizes(parts, {_STORED.get(str(method), "BF16"): stored}, used / of)


def _attention_inputs(config: Mapping[str, Any]) -> int:
    """Parameters of q, k and v in all layers; none where a latent vector is between."""
    if facts.latent_attention(config):
        return 0
    heads = int(config["num_attention_heads"])
    of_keys = int(config.get("num_key_value_heads") or heads)
    return round(facts.kv_values_per_token(config) * (1 + heads / (2 * of_keys)) * int(config["hidden_size"]))


def _experts(config: Mapping[str, Any], of: int) -> int:
    """Parameters of all routed experts, each of three matrices."""
    if of == 1:
        return 0
    layers = facts.layers(config) - int(config.get("first_k_dense_replace") or 0)
    return layers * of * 3 * int(config["hidden_size"]) * int(config["moe_intermediate_size"])


def _billions(text: str) -> int:
    """Of "30.5B, 3.3B active", the whole."""
    return round(float(text.partition("B")[0]) * 1e9)


def _embedded() -> Entry:
    entry = catalogue.lookup(catalogue.DEFAULT)
    assert entry, "the default model is in the catalogue"
    return entry
