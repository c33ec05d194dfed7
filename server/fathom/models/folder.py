"""A model folder, checked before the engine starts: what vLLM would say in a page of traceback is one line here."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fathom.core.errors import StartupError
from fathom.models import facts, weights
from fathom.models.facts import ModelFacts

_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json", "tiktoken.model", "*.tiktoken")
_MODULE_FILES = {"Pooling": ("config.json",), "Dense": ("config.json", "model.safetensors")}


def inspect(folder: Path, *, trust_remote_code: bool = False) -> ModelFacts:
    """Check the folder and read what its files say of the model. Raises StartupError in one line."""
    if not folder.is_dir():
        raise StartupError(f"no such folder: {folder}")
    config = _config(folder)
    if not trust_remote_code:
        _refuse_custom_code(folder, config)
    found = weights.read(folder)
    if not any(any(folder.glob(name)) for name in _TOKENIZERS):
        raise StartupError(f"{folder} has no tokenizer (tokenizer.json or tokenizer.model): copy it from the model.")
    return facts.from_config(
        config,
        found,
        _context_length(folder, config, facts.text_config(config)),
        chat_template(folder),
        sentence_encoder=_sentence_encoder(folder),
    )


def chat_template(folder: Path) -> str | None:
    """Newer models keep it in a file of its own, older ones in the tokenizer's config, some several by name."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8")
    template = _tokenizer_config(folder).get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = named.get("default")
    return template if isinstance(template, str) else None


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise StartupError(f"{folder} has no config.json: is it a model's folder?")
    config = _json(path)
    if not config.get("architectures"):
        raise StartupError(f"{path} names no architectures: it is not the config of a whole model.")
    return config


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    return _json(path) if path.is_file() else {}


def _context_length(folder: Path, config: dict[str, Any], text: Mapping[str, Any]) -> int | None:
    """As vLLM limits it: what makes embeddings may state a shorter length in other files than its config."""
    lengths = [facts.context_length(text)]
    lengths += [_json(path).get("max_seq_length") for path in folder.glob("sentence_*_config.json")]
    if config.get("position_embedding_type") == "absolute":
        lengths.append(_tokenizer_config(folder).get("model_max_length"))
    return min((int(length) for length in lengths if length), default=None)


def _sentence_encoder(folder: Path) -> bool:
    """Whether the folder is laid out for sentence-transformers. Raises StartupError if a file of a module is missing:
    vLLM would go on without it, and make vectors that mean nothing."""
    path = folder / "modules.json"
    if not path.is_file():
        return False
    modules = _read(path)
    for module in modules if isinstance(modules, list) else []:
        kind = str(module.get("type")).rpartition(".")[2]
        for name in _MODULE_FILES.get(kind, ()):
            if not (folder / str(module.get("path")) / name).is_file():
                raise StartupError(f"{folder} lacks {module.get('path')}/{name}, which its modules.json calls for.")
    return True


def _json(path: Path) -> dict[str, Any]:
    content = _read(path)
    if not isinstance(content, dict):
        raise StartupError(f"cannot read {path}: it holds no JSON object.")
    return content


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StartupError(f"cannot read {path}: {error}") from None


def _refuse_custom_code(folder: Path, config: dict[str, Any]) -> None:
    """Many repositories bring code along that nobody needs any more: only what has no other implementation matters."""
    needs = []
    if "AutoConfig" in (config.get("auto_map") or {}) and not _known_architecture(str(config.get("model_type"))):
        needs.append(f"architecture {config.get('model_type')!r}")
    if (
        "AutoTokenizer" in (_tokenizer_config(folder).get("auto_map") or {})
        and not (folder / "tokenizer.json").is_file()
    ):
        needs.append("tokenizer")
    if needs:
        raise StartupError(
            f"{folder} brings Python code of its own for its {' and '.join(needs)}: read that code, then allow it by "
            "name with --trust-remote-code."
        )


def _known_architecture(model_type: str) -> bool:
    """Whether Transformers or vLLM implement it, told from their files: importing them takes seconds."""
    module = model_type.replace("-", "_")
    transformers, vllm = _package("transformers"), _package("vllm")
    if transformers and (transformers / "models" / module).is_dir():
        return True
    registry = vllm / "transformers_utils" / "config.py" if vllm else None
    return bool(registry and registry.is_file() and f" {model_type}=" in registry.read_text("utf-8"))


def _package(name: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None
