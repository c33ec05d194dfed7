"""CPU time that keys cost: of finding a key, of the whole middleware, and of a request through the app.

python -m tests.bench.access

No network and no database: the app is called as uvicorn calls it, and its engine is scripted.
"""

import asyncio
import statistics
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any
from unittest import mock

import msgspec
import structlog
import uvloop
from fastapi import FastAPI
from fathom.api.access import Authenticate
from fathom.app import create_app
from fathom.core.key_secret import hash_of, new_secret
from fathom.core.tenant import ANYONE, Limits, Scope
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.serving.access import Access
from fathom.serving.key_ring import KeyRing
from fathom.settings import AccessSettings, load
from fathom.store.database import Database
from fathom.store.keys import StoredKey

KEYS = (1, 10_000, 100_000)
CALLS = 20_000
REQUESTS = 500
ROUNDS = 5

BODY = msgspec.json.encode({"model": "scripted", "messages": [{"role": "user", "content": "one two three"}]})


def stored(at: int) -> tuple[StoredKey, bytes]:
    secret = new_secret()
    key = StoredKey(
        id=f"key_{at:032x}",
        tenant=f"tenant-{at % 100}",
        name="bench",
        prefix=secret[:7],
        hash=hash_of(secret.encode()),
        scopes=frozenset({Scope.INFERENCE}),
        weight=1.0,
        limits=Limits(requests_per_minute=60),
        created_at=0,
        revision=at,
    )
    return key, secret.encode()


def ring_of(count: int) -> tuple[KeyRing, list[bytes], float, float]:
    """With the secrets, the seconds that it took to fill, and its bytes per key."""
    made = [stored(at) for at in range(count)]
    keys = [key for key, _ in made]
    ring = KeyRing()
    began = time.process_time()
    ring.put(keys)
    seconds = time.process_time() - began
    tracemalloc.start()
    again = KeyRing()
    again.put(keys)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return ring, [secret for _, secret in made], seconds, size / count


def microseconds(work: Callable[[int], object]) -> float:
    """Of one call, the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for at in range(CALLS):
            work(at)
        best = min(best, time.process_time() - began)
    return best / CALLS * 1e6


def find_keys() -> None:
    print(f"{'keys':>8}  {'find':>6}  {'wrong':>6}  {'bytes a key':>11}  {'seconds to fill':>15}")
    wrong = [new_secret().encode() for _ in range(1000)]
    for count in KEYS:
        ring, secrets, seconds, size = ring_of(count)
        found = microseconds(lambda at, ring=ring, secrets=secrets: ring.find(secrets[at % len(secrets)]))  # type: ignore[misc]
        missed = microseconds(lambda at, ring=ring: ring.find(wrong[at % 1000]))  # type: ignore[misc]
        print(f"{count:>8}  {found:>6.2f}  {missed:>6.2f}  {size:>11.0f}  {seconds:>15.2f}", flush=True)


Asgi = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


def connection(path: str, secret: bytes | None) -> dict[str, Any]:
    """As uvicorn makes it of a request with the headers of openai's SDK."""
    headers = [
        (b"host", b"127.0.0.1:8000"),
        (b"accept-encoding", b"gzip, deflate"),
        (b"accept", b"application/json"),
        (b"content-type", b"application/json"),
        (b"user-agent", b"OpenAI/Python 2.0.0"),
        (b"content-length", str(len(BODY)).encode()),
    ]
    headers += [(f"x-stainless-{at}".encode(), b"value") for at in range(7)]
    if secret is not None:
        headers.append((b"authorization", b"Bearer " + secret))
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "state": {"caller": ANYONE},
    }


async def cost(app: Asgi, secret: bytes | None, calls: int, status: int | None) -> float:
    """Microseconds of CPU of a request, all threads. status: what it must be answered with."""
    seen: list[int] = []

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            seen.append(message["status"])

    began = time.process_time()
    for _ in range(calls):
        given = [{"type": "http.request", "body": BODY, "more_body": False}]

        async def receive(given: list[dict[str, Any]] = given) -> dict[str, Any]:
            return given.pop() if given else await asyncio.Event().wait()  # type: ignore[return-value]

        await app(connection("/v1/chat/completions", secret), receive, send)
    spent = time.process_time() - began
    assert status is None or set(seen) == {status}, set(seen)
    return spent / calls * 1e6


class Closed(Access):
    """Keys that no database has."""

    def __init__(self, ring: KeyRing, *, trusting: bool) -> None:
        super().__init__(Database("sqlite+aiosqlite:////dev/null/none"), "bench/1/0.00", trusting=trusting)
        self._ring, self._looked = ring, time.monotonic() + 3600


async def middleware(secrets: list[bytes], ring: KeyRing) -> None:
    async def nothing(_scope: object, _receive: object, _send: object) -> None:
        pass

    ways = {
        "open": (Closed(KeyRing(), trusting=True), None, None),
        "with a key": (Closed(ring, trusting=True), secrets[0], None),
        "with a wrong key": (Closed(ring, trusting=True), new_secret().encode(), 401),
    }
    bare = await best(lambda: cost(nothing, secrets[0], CALLS, None))
    print("\nthe middleware, microseconds of CPU a request")
    for name, (access, secret, status) in ways.items():
        app = Authenticate(nothing, access, AccessSettings())

        def call(app: Asgi = app, secret: bytes | None = secret, status: int | None = status) -> Awaitable[float]:  # type: ignore[assignment]
            return cost(app, secret, CALLS, status)

        print(f"{name:>18}  {await best(call) - bare:6.1f}", flush=True)


async def best(work: Callable[[], Awaitable[float]]) -> float:
    return min([await work() for _ in range(ROUNDS)])


def unguarded() -> FastAPI:
    """The app without all that looks at keys."""
    include = FastAPI.include_router
    with mock.patch.object(FastAPI, "include_router", lambda app, router, **_: include(app, router)):
        app = create_app(load({"home": "/dev/null"}), ScriptedEngine())
    app.user_middleware = [each for each in app.user_middleware if each.cls is not Authenticate]
    return app


async def whole(secrets: list[bytes], ring: KeyRing) -> None:
    """The ways take turns, so that what else the machine does falls on all of them."""
    apps = {
        "without any of it": (unguarded(), None, None),
        "open": (create_app(load({"home": "/dev/null"}), ScriptedEngine()), KeyRing(), None),
        "with a key": (create_app(load({"home": "/dev/null"}), ScriptedEngine()), ring, secrets[0]),
    }
    for app, keys, _ in apps.values():
        app.state.access._ring, app.state.access._looked = keys, time.monotonic() + 3600
        app.state.supervisor.begin()
        while not app.state.supervisor.ready:
            await asyncio.sleep(0.01)
    costs: dict[str, list[float]] = {name: [] for name in apps}
    for _ in range(4 * ROUNDS):
        for name, (app, _, secret) in apps.items():
            costs[name].append(await cost(app, secret, REQUESTS, 200))
    for app, _, _ in apps.values():
        await app.state.supervisor.stop()
    print(
        "\na chat completion of three words through the whole app, microseconds of CPU, the median and the best round"
    )
    for name, each in costs.items():
        print(f"{name:>18}  {statistics.median(each):6.0f}  {min(each):6.0f}", flush=True)


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    print(f"the best of {ROUNDS} rounds, microseconds of CPU")
    find_keys()
    made = [stored(at) for at in range(1000)]
    ring = KeyRing()
    ring.put([key for key, _ in made])
    secrets = [secret for _, secret in made]
    uvloop.run(middleware(secrets, ring))
    uvloop.run(whole(secrets, ring))


if __name__ == "__main__":
    main()
