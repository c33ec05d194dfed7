"""Clients that read streams while the test does something to their server."""

import json
import threading
import time
from typing import Any

import httpx

from tests.running import until

Json = dict[str, Any]

GOOD_ENDS = ("[DONE]", '"finish_reason":"', '"message_stop"', '"response.completed"', '"response.incomplete"')
"""What no stream that was cut may hold, of any dialect."""


class Reading:
    """A request, and its answer as it comes, in a thread of its own. text: what came so far. arrivals: its pieces, and
    when each came (monotonic). broken: how the connection ended in the middle of it."""

    def __init__(self, client: httpx.Client, method: str, path: str, **more: Any) -> None:
        self.text, self.status, self.headers = "", 0, httpx.Headers()
        self.arrivals: list[tuple[float, str]] = []
        self.broken = ""
        self._thread = threading.Thread(target=self._read, args=(client, method, path), kwargs=more, daemon=True)
        self._thread.start()

    def _read(self, client: httpx.Client, method: str, path: str, **more: Any) -> None:
        try:
            with client.stream(method, path, **more) as response:
                self.status, self.headers = response.status_code, response.headers
                for piece in response.iter_text():
                    self.arrivals.append((time.monotonic(), piece))
                    self.text += piece
        except httpx.TransportError as error:
            self.broken = repr(error)

    def until(self, mark: str, seconds: float = 20) -> "Reading":
        """Wait until this has come."""
        until(lambda: mark in self.text, f"{mark} comes", seconds)
        return self

    def to_the_end(self, seconds: float = 20) -> str:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"it does not end within {seconds} s"
        return self.text

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    @property
    def ended_well(self) -> bool:
        return any(end in self.text for end in GOOD_ENDS)

    @property
    def last(self) -> Json:
        """What its last frame holds."""
        last: Json = json.loads(self.text.rsplit("data: ", 1)[1])
        return last
