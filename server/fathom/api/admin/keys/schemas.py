"""What may be sent to /admin/keys. A field that is not known is refused: it may have been meant as a limit. Bounds are
the business of serving/keys.py, which the command line goes through, too. `expires_at`: seconds since the epoch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fathom.core.tenant import EVERYONE, Scope


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LimitsBody(_Body):
    """What is left out, or null, is not limited."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None
    budget: int | None = None
    period: Literal["day", "month"] = "month"
    max_tokens: int | None = None
    max_context: int | None = None


class NewKeyBody(_Body):
    name: str = ""
    tenant: str = EVERYONE.id
    scopes: list[Scope] = Field([Scope.INFERENCE], min_length=1, max_length=len(Scope))
    weight: float = 1.0
    limits: LimitsBody = LimitsBody()
    expires_at: int | None = None


class ChangeBody(_Body):
    """What is left out stays. `limits` replaces all of them, and `expires_at: null` takes the end away."""

    name: str = ""
    weight: float = 1.0
    limits: LimitsBody = LimitsBody()
    expires_at: int | None = None


class RotateBody(_Body):
    """grace_seconds: how long the old secret still opens."""

    grace_seconds: int = 0
