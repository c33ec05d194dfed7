from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from fathom.serving.generate import Generate
from fathom.serving.responses import queue, recorder, service, upkeep
from fathom.serving.responses.service import Responses
from fathom.settings import StoreSettings
from fathom.store.database import Database

from tests.rooms import way
from tests.unit.serving.responses.speaker import Speaker
from tests.unit.serving.responses.words import WordsDialect

Serve = Callable[..., AbstractAsyncContextManager[Responses]]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens now and then happens often."""
    for module, name, seconds in (
        (recorder, "EVERY", 0.02),
        (queue, "EVERY", 0.02),
        (upkeep, "EVERY", 0.02),
        (service, "_LOOK_EVERY", 0.02),
    ):
        monkeypatch.setattr(module, name, seconds)


@pytest.fixture
def speaker() -> Speaker:
    return Speaker()


@pytest.fixture
def serve(database: Database, speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """A server on the database, by its name; several may run at a time."""

    @asynccontextmanager
    async def serving(name: str = "one", **settings: object) -> AsyncIterator[Responses]:
        monkeypatch.setattr(service, "server_id", lambda: f"{name}/1/0.00")
        store = StoreSettings.model_validate(settings)
        responses = Responses(
            database,
            Generate(speaker, *way()),
            WordsDialect(),
            store,
            speaker.caller,
            lambda: speaker.ready,
            lambda: speaker.leaving,
        )
        await responses.start()
        try:
            yield responses
        finally:
            await responses.stop()

    return serving


@pytest.fixture
async def responses(serve: Serve) -> AsyncIterator[Responses]:
    async with serve() as responses:
        yield responses
