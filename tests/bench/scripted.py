"""The app on a scripted engine, which gives every stream as many tokens as it asks for.

python -m tests.bench.scripted PORT: what the front end costs without vLLM: no detokenizer, no queue to another process.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from fathom.api.connection import configure
from fathom.app import create_app
from fathom.cli.server import listen
from fathom.core.events import Accepted, Event, Finished, TextDelta
from fathom.core.generation import GenerationRequest
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.settings import load
from fathom.telemetry import logging

from tests.running import empty_database

STEP = 0.005
"""Seconds from token to token, so that streams take turns as they do on an engine."""


def words(request: GenerationRequest) -> Iterator[Event]:
    tokens = request.sampling.max_tokens or 1
    yield Accepted(1)
    yield from (TextDelta(" word") for _ in range(tokens))
    yield Finished("length", 1, tokens)


def main(port: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder, "fathom.db")
        database.write_bytes(empty_database())
        settings = load({"http.port": int(port), "store.url": f"sqlite+aiosqlite:///{database}"})
        logging.configure(settings.telemetry)
        app = create_app(settings, ScriptedEngine(words, delay=STEP))
        uvicorn.Server(configure(app, settings.http)).run(sockets=[listen(settings.http)])


if __name__ == "__main__":
    main(sys.argv[1])
