"""Engines as admission sees them: what they can hold."""

from typing import Any

from fathom.core.engine import ModelCard
from fathom.serving.admission import Admission
from fathom.settings import LimitSettings


class Room:
    """usage: share of its KV cache that is held."""

    def __init__(self, seqs: int = 256, kv_tokens: int = 0) -> None:
        self.card: ModelCard | None = ModelCard(
            "m", "a test", "plain", "none", "none", 4096, kv_tokens, 0, max_num_seqs=seqs
        )
        self.usage = 0.0

    def kv_usage(self) -> float:
        return self.usage


def admission(seqs: int = 256, kv_tokens: int = 0, **limits: Any) -> Admission:
    return Admission(LimitSettings.model_validate(limits), Room(seqs, kv_tokens))
