"""What keys and limits cost a request, and each of its tokens: python -m tests.bench.tenancy

No network: the app is called as uvicorn calls it, and its engine is scripted. The ways take turns in one run.
"""

import asyncio
import statistics
import time
from dataclasses import replace
from typing import Any

import msgspec
import structlog
import uvloop
from fastapi import FastAPI
from fathom.app import create_app
from fathom.core.tenant import Limits
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.serving.key_ring import KeyRing
from fathom.settings import load

from tests.bench.access import connection, stored

TOKENS = 500
REQUESTS, STREAMS = 400, 20
ROUNDS = 9

MUCH = 10**9
LIMITS = Limits(requests_per_minute=MUCH, tokens_per_minute=MUCH, concurrent=MUCH, max_tokens=MUCH, max_context=MUCH)
TENANTS = {"limits.tenants": {"*": {"requests_per_minute": MUCH, "tokens_per_minute": MUCH, "concurrent": MUCH}}}


async def ask(app: FastAPI, secret: bytes | None, tokens: int) -> None:
    body = {"model": "scripted", "stream": True, "prompt": "x " * tokens, "max_tokens": tokens}
    given = [{"type": "http.request", "body": msgspec.json.encode(body), "more_body": False}]
    seen: list[int] = []

    async def receive() -> dict[str, Any]:
        return given.pop() if given else await asyncio.Event().wait()  # type: ignore[return-value]

    async def send(message: dict[str, Any]) -> None:
        seen.append(message.get("status", 0))

    asked = connection("/v1/completions", secret)
    asked["headers"] = [each for each in asked["headers"] if each[0] != b"content-length"]
    await app(asked, receive, send)
    assert seen[0] == 200
    assert len(seen) > tokens


async def microseconds(app: FastAPI, secret: bytes | None, tokens: int, times: int) -> float:
    """Of CPU for one stream, all threads."""
    began = time.process_time()
    for _ in range(times):
        await ask(app, secret, tokens)
    return (time.process_time() - began) / times * 1e6


async def main() -> None:
    key, secret = stored(0)
    apps: dict[str, tuple[FastAPI, KeyRing, bytes | None]] = {}
    for name, limits, more in (
        ("neither", None, {}),
        ("a key", Limits(), {}),
        ("a key with limits, a tenant with limits", LIMITS, TENANTS),
    ):
        app, ring = create_app(load({"home": "/dev/null", **more}), ScriptedEngine()), KeyRing()
        if limits is not None:
            ring.put([replace(key, limits=limits)])
        app.state.access._ring, app.state.access._looked = ring, time.monotonic() + 3600
        apps[name] = app, ring, secret if limits is not None else None
        app.state.supervisor.begin()
        while not app.state.supervisor.ready:
            await asyncio.sleep(0.01)
    requests: dict[str, list[float]] = {name: [] for name in apps}
    tokens: dict[str, list[float]] = {name: [] for name in apps}
    for _ in range(ROUNDS):
        for name, (app, _, given) in apps.items():
            short = await microseconds(app, given, 1, REQUESTS)
            long = await microseconds(app, given, TOKENS, STREAMS)
            requests[name].append(short)
            tokens[name].append((long - short) / (TOKENS - 1))
    for app, _, _ in apps.values():
        await app.state.supervisor.stop()
    print(f"microseconds of CPU through the whole app, the median of {ROUNDS} rounds; streams of {TOKENS} tokens")
    print(f"{'':>40}  {'request':>7}  {'token':>6}")
    for name in apps:
        print(f"{name:>40}  {statistics.median(requests[name]):>7.0f}  {statistics.median(tokens[name]):>6.2f}")


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    uvloop.run(main())
