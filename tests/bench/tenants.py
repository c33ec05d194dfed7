"""The server, with a tenant for every word in x-api-key: python -m tests.bench.tenants PORT [NAME=VALUE ...]"""

import sys

import uvicorn
from fathom.api.connection import configure
from fathom.app import create_app
from fathom.cli.server import listen
from fathom.engine.vllm_engine import VllmEngine
from fathom.settings import load
from fathom.telemetry import logging

from tests.by_header import with_tenants


def main(port: str, *given: str) -> None:
    settings = load({"http.port": int(port), **dict(each.split("=", 1) for each in given)})
    logging.configure(settings.telemetry)
    app = create_app(settings, VllmEngine(settings))
    with_tenants(app)
    uvicorn.Server(configure(app, settings.http)).run(sockets=[listen(settings.http)])


if __name__ == "__main__":
    main(*sys.argv[1:])
