"""Tenants by header, for tests and benchmarks that need tenants and no keys."""

from collections.abc import AsyncGenerator
from contextvars import ContextVar
from dataclasses import replace

from fastapi import FastAPI
from fathom.core.events import Event
from fathom.core.generation import GenerationRequest
from fathom.core.tenant import EVERYONE, Caller, Tenant
from fathom.serving.generate import Generate
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

_tenant = ContextVar("tenant", default=EVERYONE.id)


class ByHeader:
    """Pure ASGI: remembers whose request it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            _tenant.set(Headers(scope=scope).get("x-api-key", EVERYONE.id))
        await self._app(scope, receive, send)


class GenerateByHeader(Generate):
    def __call__(self, request: GenerationRequest) -> AsyncGenerator[Event]:
        return super().__call__(replace(request, caller=Caller(Tenant(_tenant.get()))))


def with_tenants(app: FastAPI) -> None:
    """Whatever stands in x-api-key is a tenant."""
    app.state.generate.__class__ = GenerateByHeader  # several hold it already
    app.add_middleware(ByHeader)
