"""All the wiring, top to bottom."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_bytes

from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline

from fathom import __version__
from fathom.api import errors, operations, usage
from fathom.api.access import Authenticate, Needs
from fathom.api.admin.keys import routes as keys
from fathom.api.anthropic.messages import routes as messages
from fathom.api.middleware import LimitBody, Observe, TellLimits
from fathom.api.openai import models
from fathom.api.openai.chat import routes as chat
from fathom.api.openai.completions import routes as completions
from fathom.api.openai.embeddings import routes as embeddings
from fathom.api.openai.responses import routes as responses
from fathom.api.openai.responses.dialect import StoredResponses
from fathom.api.openai.tokenize import routes as tokenize
from fathom.core.engine import Engine
from fathom.core.errors import StartupError, StoreUnavailable
from fathom.core.tenant import Limits, Scope
from fathom.engine.supervisor import Hooks, Supervisor
from fathom.serving.access import Access, is_loopback
from fathom.serving.admission import Admission
from fathom.serving.drain import Drain
from fathom.serving.embed import Embed
from fathom.serving.generate import Generate
from fathom.serving.keys import Keys
from fathom.serving.limits import RateLimits
from fathom.serving.responses.service import Responses
from fathom.serving.sealing import Seals
from fathom.serving.server_id import server_id
from fathom.serving.usage import Ledger
from fathom.settings import Settings
from fathom.store.database import Database, url_of


def create_app(settings: Settings, engine: Engine, hooks: Hooks | None = None) -> FastAPI:
    """The server as an ASGI app. The store and, in the background, the engine start and end with its lifespan."""
    supervisor = Supervisor(engine, hooks or Hooks.none(), settings.engine)
    database = Database(url_of(settings))
    ledger = Ledger(database, lambda: supervisor.serving().id)
    limits, admission = settings.limits, Admission(settings.limits, supervisor)
    rates = RateLimits({name: Limits(**dict(of)) for name, of in limits.tenants.items()}, ledger.spent)
    generate = Generate(supervisor, admission, rates, ledger, limits, tell_every=settings.http.keep_alive)
    embed = Embed(supervisor, admission, rates, ledger, limits)
    drain = Drain(supervisor, [generate, embed], settings.http.shutdown_grace)
    access = Access(database, server_id(), trusting=is_loopback(settings.http.host))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            await database.start()
            await access.start()
            async with database.transaction() as work:
                seals = app.state.seals = Seals(await work.secrets.get_or_add("seals", token_bytes(32)))
            dialect = StoredResponses(settings, seals, supervisor.serving)
            kept = Responses(
                database,
                generate,
                dialect,
                settings.store,
                access.again,
                lambda: supervisor.ready,
                lambda: drain.leaving,
            )
            app.state.responses = kept
            await kept.start()
            ledger.start()
        except (StartupError, StoreUnavailable) as error:
            supervisor.fail(str(error))
            yield
            return
        supervisor.begin()
        yield
        await access.stop()
        await kept.stop()
        await supervisor.stop()
        await ledger.stop()
        await database.stop()

    app: FastAPI = FastAPIOffline(
        title="Fathom",
        version=__version__,
        description="An inference server for efficient open-weight LLMs, with the reasoning trace in the open.",
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,  # it would send clients to whatever host they name
        responses={"4XX": {"model": errors.ErrorBody}, "5XX": {"model": errors.ErrorBody}},
    )
    app.state.settings = settings
    app.state.supervisor = supervisor
    app.state.generate = generate
    app.state.drain = drain
    app.state.embed = embed
    app.state.access = access
    app.state.ledger = ledger
    app.state.keys = Keys(database, access.refresh)

    inference, admin = Depends(Needs(Scope.INFERENCE)), Depends(Needs(Scope.ADMIN))
    app.include_router(chat.router, dependencies=[inference])
    app.include_router(completions.router, dependencies=[inference])
    app.include_router(responses.router, dependencies=[inference])
    app.include_router(messages.router, dependencies=[inference])
    app.include_router(embeddings.router, dependencies=[inference])
    app.include_router(tokenize.router, dependencies=[inference])
    app.include_router(models.router, dependencies=[inference])
    app.include_router(usage.router, dependencies=[inference])
    app.include_router(keys.router, dependencies=[admin])
    app.include_router(usage.admin_router, dependencies=[admin])
    app.include_router(operations.metrics_router, dependencies=[admin])
    app.include_router(operations.router)  # public, and listed as such in api/access.py

    errors.install(app)
    app.add_middleware(LimitBody, most=settings.http.max_body_bytes)  # the last one added is the outermost
    app.add_middleware(TellLimits, rates=rates)
    app.add_middleware(Authenticate, access=access, settings=settings.access)
    app.add_middleware(Observe)
    return app
