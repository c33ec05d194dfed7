"""The server, with a tenant for every word in x-api-key: python -m tests.bench.tenants PORT [NAME=VALUE ...]

Benchmarks need tenants, and no keys.
"""

import sys
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from dataclasses import replace

import uvicorn
from fastapi import FastAPI
from fathom.app import create_app
from fathom.core.events import Event
from fathom.core.generation import GenerationRequest
from fathom.core.tenant import Caller, Tenant
from fathom.engine.vllm_engine import VllmEngine
from fathom.settings import load
from fathom.telemetry import logging
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

_tenant = ContextVar("tenant", default="default")


class ByHeader:
    """Pure ASGI: remembers whose request it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            _tenant.set(Headers(scope=scope).get("x-api-key", "default"))
        await self._app(scope, receive, send)


def with_tenants(app: FastAPI) -> FastAPI:
    generate = app.state.generate

    def for_tenant(request: GenerationRequest) -> AsyncGenerator[Event]:
        events: AsyncGenerator[Event] = generate(replace(request, caller=Caller(Tenant(_tenant.get()))))
        return events

    app.state.generate = for_tenant
    app.add_middleware(ByHeader)
    return app


def main(port: str, *given: str) -> None:
    settings = load({"http.port": int(port), **dict(each.split("=", 1) for each in given)})
    logging.configure(settings.telemetry)
    app = with_tenants(create_app(settings, VllmEngine(settings)))
    uvicorn.run(app, port=settings.http.port, loop="uvloop", http="httptools", log_config=None, access_log=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
