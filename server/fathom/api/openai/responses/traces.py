"""What is kept of a trace, by the setting store.traces; and traces that only this server can read."""

import hashlib
from typing import Any, Literal

from fathom.serving.sealing import Seals

Json = dict[str, Any]
Keeping = Literal["keep", "drop", "hash"]


def as_kept(item: Json, keeping: Keeping) -> Json:
    """Any item, as it may be stored and shown to later readers."""
    if keeping == "keep" or item["type"] != "reasoning":
        return item
    bare = without_trace(item)
    if keeping == "hash" and (trace := trace_of(item)):
        bare["trace_sha256"] = hashlib.sha256(trace.encode()).hexdigest()
    return bare


def without_trace(item: Json) -> Json:
    return {"id": item["id"], "type": "reasoning", "summary": [], "content": [], "status": item["status"]}


def trace_of(item: Json) -> str:
    return "".join(part["text"] for part in item["content"])


def sealed(item: Json, seals: Seals) -> Json:
    """Any item; a trace in it is sealed, too, so that clients can send it back."""
    if item["type"] != "reasoning" or "encrypted_content" in item or not (trace := trace_of(item)):
        return item
    return item | {"encrypted_content": seals.seal(trace)}
