"""One client's connection, with the bounds that uvicorn's parser does not have: on the head of a request, on the time
that a request takes to come, on the number of connections. What cannot be read is answered in the dialect of its path.

A request at a time: whatever comes behind one while it is answered is not looked at, and the connection ends with the
answer. Clients that pipeline send the rest again elsewhere; and nobody can hide a request in the body of another.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, cast
from urllib.parse import unquote
from uuid import uuid4

import httptools
import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from fathom.api import errors
from fathom.api.body import Body
from fathom.api.hosts import Hosts
from fathom.core.errors import HeadersTooLarge, RequestTimeout, ServiceError, TooManyConnections, Unreadable
from fathom.settings import HttpSettings
from fathom.telemetry import metrics

log = structlog.get_logger()

MOST_HEADERS = 100
"""Of one request, trailers included."""

_VERSIONS = ("1.0", "1.1")
_MOST_BEHIND = 1 << 16  # bytes that a client may send for nothing, behind a request or in one that was answered
_PARTING = 2.0  # seconds that a client gets to read an answer that came before it had sent all
_RETRY_AFTER = 5.0
_MOST_TOLD = 256  # connections beyond the limit that are told so at a time; more are closed without a word


def configure(app: FastAPI, http: HttpSettings, **more: Any) -> uvicorn.Config:
    """How uvicorn serves the app. Whom a request comes from is what the socket says, whatever its headers say."""
    connection = partial(Connection, http, Hosts(http), _Room(http.max_connections))
    return uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", connection),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        **more,
    )


class _Room:
    """For `most` connections. waiting: those that are not being answered, the one that has been so longest first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.waiting: dict[Connection, None] = {}

    def make(self, taken: int) -> bool:
        """Whether there is room, maybe because a connection that waits was closed for it."""
        if taken <= self.most:
            return True
        if not self.waiting:
            return False
        next(iter(self.waiting)).drop("crowded")
        return True


class Connection(HttpToolsProtocol):
    """whole: no request is on its way in. deaf: nothing that comes is looked at any more."""

    def __init__(
        self,
        http: HttpSettings,
        hosts: Hosts,
        room: _Room,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._http, self._hosts, self._room = http, hosts, room
        self._whole, self._deaf, self._stays, self._has_head = True, False, True, False
        self._trailers = 0
        self._head = self._behind = 0  # bytes: since the request began or its body last grew; and behind the request
        self._late: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self.url = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        taken = len(self.connections)
        if self._room.make(taken):
            self._room.waiting[self] = None
            self._wait_for_the_rest()
        elif taken <= self._room.most + _MOST_TOLD:
            problem = "This server has as many connections as it takes (http.max_connections). Try again later."
            self._refuse(TooManyConnections(problem, retry_after=_RETRY_AFTER), "crowded")
        else:
            self.drop("crowded")

    def connection_lost(self, exc: Exception | None) -> None:
        self._room.waiting.pop(self, None)
        self._in_time()
        self._read()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._answering:
            return self._overhear(len(data))
        self._unset_keepalive_if_required()
        self._head += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._end_with_the_answer()  # HTTP/1.1 is all that is spoken here; the request was read as such
        except httptools.HttpParserError as error:
            return self._cannot_read(error)
        if not self._whole:
            self._look_at_the_rest()
        elif not self._answering and self.cycle is not None and not self._deaf:
            self._idle()

    @property
    def _answering(self) -> bool:
        return self._whole and self.cycle is not None and not self.cycle.response_complete

    def _look_at_the_rest(self) -> None:
        if self._head > self._http.max_header_bytes or len(self.headers) + self._trailers > MOST_HEADERS:
            self._refuse(self._too_large(), "headers")
        else:
            self._wait_for_the_rest()

    def _idle(self) -> None:
        """Between two requests. What came was the end of a body that was answered already, or an empty line."""
        self._room.waiting[self] = None
        self._unset_keepalive_if_required()
        if not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self._http.write_timeout + _PARTING, self.drop, "unread")

    def resume_writing(self) -> None:
        super().resume_writing()
        self._read()

    def _read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def on_message_begin(self) -> None:
        if self._answering:
            self._end_with_the_answer()
            raise _Enough
        super().on_message_begin()
        self._whole = self._has_head = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Trailers are counted, and are no headers: whoever stands in front may not have looked at them."""
        if self._has_head:
            self._trailers += 1
        else:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._has_head, self._trailers = True, 0
        if httptools.parse_url(self.url).path is None:
            raise _Enough(Unreadable("The target of the request has no path."))
        if self._head > self._http.max_header_bytes and _size(self.url, self.headers) > self._http.max_header_bytes:
            raise _Enough(self._too_large())
        if len(self.headers) > MOST_HEADERS:
            raise _Enough(self._too_large())
        if self.parser.get_http_version() not in _VERSIONS:
            raise _Enough(Unreadable("This server speaks HTTP/1.1 and HTTP/1.0."))
        if self.parser.should_upgrade() and _has_body(self.headers):
            raise _Enough(Unreadable("This server speaks HTTP/1.1 alone. Send the request without Upgrade."))
        if error := self._hosts.problem(self.headers, self.parser.get_http_version()):
            raise _Enough(error)
        super().on_headers_complete()
        self.scope["state"]["body"] = Body(self.transport, self.flow, self.cycle)  # for streams (sse.py)
        self._stays, self.cycle.keep_alive = self.cycle.keep_alive, True  # an early answer is not to close at once

    def on_body(self, body: bytes) -> None:
        self._head = 0
        if self.cycle.response_complete:
            self._throw_away(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._whole, self._head, self._behind = True, 0, 0
        self.cycle.keep_alive = self._stays and self.cycle.keep_alive
        if self.cycle.response_complete and not self._stays:
            self._part()
        self._room.waiting.pop(self, None)
        self._in_time()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._room.waiting[self] = None
        if not self._whole and _declared(self.headers) > _MOST_BEHIND:
            self._part()

    def drop(self, reason: str) -> None:
        """Hang up, without a word."""
        self._room.waiting.pop(self, None)
        metrics.CONNECTIONS_REFUSED.labels(reason=reason).inc()
        self.transport.abort()

    def _overhear(self, size: int) -> None:
        self._end_with_the_answer()
        self._behind += size
        if self._behind > _MOST_BEHIND:
            self.drop("behind")

    def _throw_away(self, size: int) -> None:
        """The rest of a body whose answer did not need it. It is read if it is small, so that the connection stays."""
        self._behind += size
        if self._behind > _MOST_BEHIND:
            self._part()
            raise _Enough

    def _end_with_the_answer(self) -> None:
        self.cycle.keep_alive = False

    def _cannot_read(self, error: httptools.HttpParserError) -> None:
        match error.__context__:
            case _Enough(error=None):
                pass
            case _Enough(error=ServiceError() as refused):
                self._refuse(refused, "headers")
            case httptools.HttpParserInvalidURLError():
                self._refuse(Unreadable("The target of the request cannot be read. Send a path."), "malformed")
            case None:
                reason = str(error).rstrip(".")[:100]
                self._refuse(Unreadable(f"This is no HTTP that can be read: {reason}."), "malformed")
            case bug:
                log.error("request failed", exc_info=bug)
                self._refuse(errors.SURPRISE, "malformed")

    def _wait_for_the_rest(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(self._http.read_timeout, self._too_late)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        self._late = None
        if self._whole:
            return self.drop("slow")
        if self.cycle is not None and self.cycle.response_complete:
            return self._part()
        limit = f"{self._http.read_timeout:g} s"
        self._refuse(RequestTimeout(f"The request did not come within {limit} (http.read_timeout)."), "slow")

    def _too_large(self) -> HeadersTooLarge:
        return HeadersTooLarge(
            f"The head of the request has more than {self._http.max_header_bytes} bytes (http.max_header_bytes), or "
            f"more than {MOST_HEADERS} headers. Send less."
        )

    def _refuse(self, error: ServiceError, reason: str) -> None:
        """Answer in place of the app, which waits for the rest of this request if it was given it."""
        metrics.CONNECTIONS_REFUSED.labels(reason=reason).inc()
        log.debug("connection refused", reason=reason, error=error.message)
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not self.transport.is_closing():
            self.transport.write(_answer(error, self.url, self.server_state.default_headers))
            self._part()

    def _part(self) -> None:
        """Nothing more is said, and what comes is thrown away: to close at once would take the answer back, where the
        client is still sending."""
        self._deaf = True
        self._unset_keepalive_if_required()
        self._in_time()
        self.flow.resume_reading()
        if not self.transport.is_closing():
            self.transport.write_eof()
            self._late = self.loop.call_later(_PARTING, self.transport.abort)


class _Enough(Exception):
    """Ends the parser. error: what is said about it."""

    def __init__(self, error: ServiceError | None = None) -> None:
        self.error = error


def _size(url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> int:
    return len(url) + sum(len(name) + len(value) for name, value in headers)


def _has_body(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    return any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in headers)


def _declared(headers: Sequence[tuple[bytes, bytes]]) -> int:
    """Bytes of the body, 0 where it is not told."""
    return next((int(value) for name, value in headers if name == b"content-length"), 0)


def _answer(error: ServiceError, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    request_id = f"req_{uuid4().hex}"
    path = unquote(url.partition(b"?")[0].decode("latin-1"))
    answer = errors.response(error, {"path": path, "state": {"request_id": request_id}})
    answer.headers.update({"x-request-id": request_id, "request-id": request_id, "connection": "close"})
    lines = b"".join(b"%b: %b\r\n" % header for header in [*headers, *answer.raw_headers])
    return STATUS_LINE[answer.status_code] + lines + b"\r\n" + bytes(answer.body)
