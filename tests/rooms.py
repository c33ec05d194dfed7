"""Engines as admission sees them: what they can hold. And all that a request passes on its way to one."""

from typing import Any

from fathom.core.engine import ModelCard
from fathom.core.tenant import Caller, Limits
from fathom.serving.admission import Admission
from fathom.serving.limits import RateLimits
from fathom.serving.usage import Ledger
from fathom.settings import LimitSettings
from fathom.store.database import Database


class Room:
    """usage: share of its KV cache that is held."""

    def __init__(self, seqs: int = 256, kv_tokens: int = 0) -> None:
        self.card: ModelCard | None = ModelCard(
            "m", "a test", "plain", "none", "none", 4096, kv_tokens, 0, max_num_seqs=seqs
        )
        self.usage = 0.0
        self.has: int | None = None  # choices that are not over

    def unfinished(self) -> int | None:
        return self.has

    def kv_usage(self) -> float:
        return self.usage


def admission(seqs: int = 256, kv_tokens: int = 0, **limits: Any) -> Admission:
    return Admission(LimitSettings.model_validate(limits), Room(seqs, kv_tokens))


async def _nothing(_caller: Caller) -> int:
    return 0


def way(ledger: Ledger | None = None, **tenants: Limits) -> tuple[Admission, RateLimits, Ledger]:
    """Admission, limits and ledger, which is written nowhere."""
    written_nowhere = Ledger(Database("sqlite+aiosqlite:///nowhere.db"), lambda: "scripted")
    return admission(), RateLimits(tenants, _nothing), ledger or written_nowhere
