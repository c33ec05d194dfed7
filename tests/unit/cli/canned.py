"""A server that says one thing to whoever asks."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class Canned(HTTPServer):
    """Gives every request one answer, in pieces of `step` bytes, and hangs up. `cut`: promises more than it sends."""

    status, body, cut, step = 200, b"", False, 1 << 16
    seen: dict[str, Any]


class _Handler(BaseHTTPRequestHandler):
    server: Canned

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen = {"path": self.path, "headers": dict(self.headers), "body": body}
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(self.server.body) + self.server.cut))
        self.end_headers()
        for at in range(0, len(self.server.body), self.server.step):
            self.wfile.write(self.server.body[at : at + self.server.step])
            time.sleep(0.001)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def canned_server() -> Iterator[Canned]:
    with Canned(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
