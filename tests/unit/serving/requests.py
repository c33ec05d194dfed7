"""Requests of tenants, as they come to admission."""

from typing import Any

from fathom.core.engine import Prepared
from fathom.core.generation import GenerationRequest, Text
from fathom.core.tenant import Caller, Tenant


def caller(tenant: str = "a", weight: float = 1.0) -> Caller:
    return Caller(Tenant(tenant), weight=weight)


def prepared(tenant: str = "a", prompt: int = 10, limit: int = 20, *, weight: float = 1.0, **fields: Any) -> Prepared:
    """limit: of each choice."""
    request = GenerationRequest("r", Text("x"), caller=caller(tenant, weight), **fields)
    return Prepared(request, prompt, limit * request.n)
