"""A prefix cache that tenants do not share: how soon an answer comes must not tell one what another has asked."""

import hashlib
import hmac
import secrets

from fathom.core.tenant import EVERYONE, Tenant


class CacheSalts:
    """vLLM finds cached blocks by prompt and salt. The key is of this process: no KV cache outlives it, and nobody who
    knows a tenant's id can tell its salt."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def of(self, tenant: Tenant) -> str | None:
        """None on a server without keys, whose clients share all."""
        if tenant == EVERYONE:
            return None
        return hmac.digest(self._key, tenant.id.encode(), hashlib.sha256).hex()
