"""Pure ASGI, outermost first: the request's id, record and metrics; then (access.py) its key; then what is left of the
key's limits; then the limit on its body."""

import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fathom.api import errors
from fathom.core.errors import PayloadTooLarge
from fathom.serving.limits import RateLimits
from fathom.telemetry import metrics, record

log = structlog.get_logger()

_GOOD_ID = re.compile(r"[\w.-]{8,128}", re.ASCII)
_CLIENT_GONE = 499
_QUEUE_HEADERS = {
    "queue_position": "x-fathom-queue-position",
    "queue_expected_ms": "x-fathom-expected-wait-ms",
    "queue_ms": "x-fathom-queue-ms",
}
"""By their names in the record: what a request was told when it had to wait, and how long it did."""

_QUIET_ROUTES = {"/livez", "/readyz", "/startupz", "/health", "/metrics"}


class Observe:
    """Gives each request an id (the client's x-request-id if it is a sane one), a log line and its metrics."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began = time.perf_counter()
        asked = Headers(scope=scope).get("x-request-id", "")
        request_id = asked if _GOOD_ID.fullmatch(asked) else f"req_{uuid.uuid4().hex}"
        scope.setdefault("state", {})["request_id"] = request_id
        fields = record.begin()
        status = _CLIENT_GONE  # unless an answer begins

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = headers["request-id"] = request_id  # OpenAI's name for it, and Anthropic's
                headers["openai-processing-ms"] = str(round((time.perf_counter() - began) * 1000))
                headers.update({name: str(fields[key]) for key, name in _QUEUE_HEADERS.items() if key in fields})
            await send(message)

        try:
            await self._app(scope, receive, send_observed)
        except Exception:  # a bug of ours: logged with its id, and the client still gets the error shape
            log.exception("request failed", request_id=request_id)
            if status == _CLIENT_GONE:
                await errors.response(errors.SURPRISE, scope)(scope, receive, send_observed)
        finally:
            _report(scope, request_id, status, time.perf_counter() - began, fields)


def _report(scope: Scope, request_id: str, status: int, seconds: float, fields: dict[str, object]) -> None:
    route = getattr(scope.get("route"), "path", "unmatched")
    metrics.REQUESTS.labels(route=route, model=fields.get("model", ""), status=status).inc()
    metrics.REQUEST_DURATION.labels(route=route).observe(seconds)
    write = log.debug if route in _QUIET_ROUTES else log.info
    write(
        "request",
        request_id=request_id,
        method=scope["method"],
        route=route,
        status=status,
        duration_ms=round(seconds * 1000, 1),
        **fields,
    )


class TellLimits:
    """Answers to a key that has limits per minute say what is left of them, refusals too."""

    def __init__(self, app: ASGIApp, rates: RateLimits) -> None:
        self._app, self._rates = app, rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._rates.headers(scope["state"]["caller"]))
            await send(message)

        limited = scope["type"] == "http" and self._rates.limits(scope["state"]["caller"])
        await self._app(scope, receive, send_limits if limited else send)


class LimitBody:
    """413 for a body that says it is, or turns out to be, larger than `most` bytes; it is not read further.

    Bodies are read whole before the app sees the request: none of our routes can use half of one.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdecimal() and int(declared) > self._most:
            return await errors.response(self._too_large(), scope)(scope, receive, send)
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._most:
                return await errors.response(self._too_large(), scope)(scope, receive, send)
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_whole() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, receive_whole, send)

    def _too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(
            f"The body is larger than {self._most} bytes. Send less, or start the server with a larger "
            "http.max_body_bytes."
        )
