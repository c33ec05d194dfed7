"""What the operator sees when the server is ready."""

import json
from typing import Any

from fathom import __version__
from fathom.core.engine import ModelCard
from fathom.settings import API_KEY

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


def banner(card: ModelCard, host: str, port: int, key: str | None = None, *, keys: bool = False) -> str:
    """Facts of the served model and a curl line that works as it is printed. keys: whoever asks needs one. key: the
    first one, made just now."""
    reachable = "127.0.0.1" if host in _EVERYWHERE else f"[{host}]" if ":" in host else host
    url = f"http://{reachable}:{port}"
    facts = {
        "model": f"{card.id}  ({card.source}; profile {card.profile})",
        "device": f"{card.device}, {card.dtype}",
        "context": f"{card.context_length:,} tokens",
        "KV cache": f"{card.kv_cache_tokens:,} tokens = {card.full_length_requests:.1f} requests of full length",
        "URL": f"{url}/v1   docs: {url}/docs   metrics: {url}/metrics",
    }
    if not card.kv_cache_tokens:  # an encoder keeps nothing
        del facts["KV cache"]
    if card.adapters:
        facts["LoRA"] = ", ".join(card.adapters)
    facts["access"] = _access(key, keys)
    lines = [f"  {name:<9} {value}" for name, value in facts.items()]
    path, body = _example(card)
    sent = f' -H "Authorization: Bearer {key or "$" + API_KEY}"' if keys else ""
    curl = f"curl -N {url}{path}{sent} -H 'Content-Type: application/json' -d '{json.dumps(body)}'"
    return "\n".join(["", f"Fathom {__version__} is ready.", *lines, "", "Try it:", f"  {curl}", ""])


def _access(key: str | None, keys: bool) -> str:
    if key:
        return f"{key}  (the first key; it opens everything, and is not shown again)"
    return "by key: `fathom keys create` makes one" if keys else "open to this machine, until there is a key"


def _example(card: ModelCard) -> tuple[str, dict[str, Any]]:
    """A route that this model serves, and a body for it."""
    question = "Why is the sky blue?"
    if card.embeds:
        return "/v1/embeddings", {"model": card.id, "input": question}
    messages = [{"role": "user", "content": question}]
    return "/v1/chat/completions", {"model": card.id, "stream": True, "max_tokens": 256, "messages": messages}
