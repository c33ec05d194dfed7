"""A proxy between a client and the server that checks every response which passes, whatever the client makes of it."""

import http.client
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.checked import check_response

HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "host", "accept-encoding"}


@dataclass
class Exchange:
    """One request and its response. `done` once it is over, and `whole` if the client took all of the response."""

    method: str
    path: str
    request: bytes
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    response: bytes = b""
    whole: bool = False
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def body(self) -> dict[str, Any]:
        """What the client sent."""
        sent: dict[str, Any] = json.loads(self.request)
        return sent

    def check(self) -> None:
        assert self.done.wait(10), f"{self.method} {self.path} did not end"
        if not self.whole:
            return  # the client left
        assert self.headers.get("x-request-id"), f"{self.path}: no x-request-id"
        check_response(self.path, self.status, self.headers.get("content-type", ""), self.response.decode())


class Recorder:
    """Forwards 127.0.0.1:PORT to `target` and keeps what passed since `exchanges` was last emptied."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.exchanges: list[Exchange] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def last(self) -> Exchange:
        return self.exchanges[-1]

    def check(self) -> None:
        """Every response that passed is as the published schemas and api.md want it."""
        assert self.exchanges, "the client sent nothing"
        for exchange in self.exchanges:
            exchange.check()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _handler(recorder: Recorder) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._forward(b"")

        def do_POST(self) -> None:
            self._forward(self.rfile.read(int(self.headers["content-length"])))

        def do_DELETE(self) -> None:
            self._forward(b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _forward(self, body: bytes) -> None:
            exchange = Exchange(self.command, self.path, body)
            recorder.exchanges.append(exchange)
            server = http.client.HTTPConnection("127.0.0.1", recorder.target, timeout=120)
            try:
                server.request(self.command, self.path, body, _end_to_end(self.headers.items()))
                self._answer(exchange, server.getresponse())
            except ConnectionError:
                self.close_connection = True
            finally:
                server.close()
                exchange.done.set()

        def _answer(self, exchange: Exchange, response: http.client.HTTPResponse) -> None:
            exchange.status, exchange.headers = response.status, _end_to_end(response.getheaders())
            self.send_response_only(exchange.status)
            for name, value in exchange.headers.items():
                self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while piece := response.read1(65536):
                exchange.response += piece
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
            exchange.whole = True

    return Handler


def _end_to_end(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers if name.lower() not in HOP_BY_HOP}
