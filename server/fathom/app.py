"""All the wiring, top to bottom."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from fathom import __version__
from fathom.api import errors, operations
from fathom.api.middleware import LimitBody, Observe
from fathom.api.openai import models
from fathom.api.openai.chat import routes as chat
from fathom.api.openai.completions import routes as completions
from fathom.api.openai.embeddings import routes as embeddings
from fathom.api.openai.tokenize import routes as tokenize
from fathom.core.engine import Engine
from fathom.engine.supervisor import Hooks, Supervisor
from fathom.serving.embed import Embed
from fathom.serving.generate import Generate
from fathom.settings import Settings


def create_app(settings: Settings, engine: Engine, hooks: Hooks | None = None) -> FastAPI:
    """The server as an ASGI app. The engine starts with the app's lifespan, in the background, and ends with it."""
    supervisor = Supervisor(engine, hooks or Hooks.none())

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        supervisor.begin()
        yield
        await supervisor.stop()

    app: FastAPI = FastAPIOffline(
        title="Fathom",
        version=__version__,
        description="An inference server for efficient open-weight LLMs, with the reasoning trace in the open.",
        lifespan=lifespan,
        redoc_url=None,
        responses={"4XX": {"model": errors.ErrorBody}, "5XX": {"model": errors.ErrorBody}},
    )
    app.state.settings = settings
    app.state.supervisor = supervisor
    app.state.generate = Generate(supervisor)
    app.state.embed = Embed(supervisor)

    app.include_router(chat.router)
    app.include_router(completions.router)
    app.include_router(embeddings.router)
    app.include_router(tokenize.router)
    app.include_router(models.router)
    app.include_router(operations.router)

    errors.install(app)
    app.add_middleware(LimitBody, most=settings.http.max_body_bytes)  # the last one added is the outermost
    app.add_middleware(Observe)
    return app
