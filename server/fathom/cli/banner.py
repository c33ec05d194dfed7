"""What the operator sees when the server is ready."""

import json

from fathom import __version__
from fathom.core.engine import ModelCard

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


def banner(card: ModelCard, host: str, port: int) -> str:
    """Facts of the served model and a curl line that works as it is printed."""
    reachable = "127.0.0.1" if host in _EVERYWHERE else f"[{host}]" if ":" in host else host
    url = f"http://{reachable}:{port}"
    facts = {
        "model": f"{card.id}  ({card.source}; profile {card.profile})",
        "device": f"{card.device}, {card.dtype}",
        "context": f"{card.context_length:,} tokens",
        "KV cache": f"{card.kv_cache_tokens:,} tokens = {card.full_length_requests:.1f} requests of full length",
        "URL": f"{url}/v1   docs: {url}/docs   metrics: {url}/metrics",
    }
    if card.adapters:
        facts["LoRA"] = ", ".join(card.adapters)
    lines = [f"  {name:<9} {value}" for name, value in facts.items()]
    body = {
        "model": card.id,
        "stream": True,
        "max_tokens": 256,
        "messages": [{"role": "user", "content": "Why is the sky blue?"}],
    }
    curl = f"curl -N {url}/v1/chat/completions -H 'Content-Type: application/json' -d '{json.dumps(body)}'"
    return "\n".join(["", f"Fathom {__version__} is ready.", *lines, "", "Try it:", f"  {curl}", ""])
