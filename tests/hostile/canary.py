"""A greedy request that runs beside the abuse, again and again: its answer is the one that it has alone."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.hostile.score import Score

Json = dict[str, Any]


class Canary:
    def __init__(self, url: str, body: Json) -> None:
        self._url, self._body = f"{url}/v1/completions", {**body, "stream": True, "temperature": 0}
        self.headers: dict[str, str] = {}  # of a key, once there is one
        self._alone = self._ask()
        assert self._ask() == self._alone, "the canary's answer is not the same twice: it cannot tell anything"

    @contextmanager
    def beside(self, score: Score) -> Iterator[None]:
        """At least one begins before, one runs during, and one after what is done inside."""
        begun, over = threading.Event(), threading.Event()

        def sing() -> None:
            while not over.is_set():
                self._compare(score, begun)

        singing = threading.Thread(target=sing, daemon=True)
        singing.start()
        assert begun.wait(30), "the canary does not begin"
        try:
            yield
        finally:
            over.set()
            singing.join(60)
            if singing.is_alive():
                score.hangs.append("the canary does not end")
        self._compare(score, begun)

    def _compare(self, score: Score, begun: threading.Event) -> None:
        try:
            answer = self._ask(begun)
        except (httpx.HTTPError, AssertionError) as error:
            answer = f"{type(error).__name__}: {error}"
        score.canaries += 1
        if answer != self._alone:
            score.differences.append(f"canary: {answer[-300:]!r}\n   alone: {self._alone[-300:]!r}")

    def _ask(self, begun: threading.Event | None = None) -> str:
        """All that it says, how it ended and what it used; a busy engine may cut it into other pieces."""
        text, ends = "", list[Any]()
        with httpx.stream("POST", self._url, json=self._body, headers=self.headers, timeout=60) as response:
            assert response.status_code == 200, response.read()
            for line in response.iter_lines():
                if line.startswith("data: {"):
                    chunk = json.loads(line.removeprefix("data: "))
                    text += "".join(choice["text"] for choice in chunk.get("choices", ()))
                    ends += [choice["finish_reason"] for choice in chunk.get("choices", ()) if choice["finish_reason"]]
                    ends += [chunk["error"]] if "error" in chunk else []
                    if begun:
                        begun.set()
                elif line == "data: [DONE]":
                    ends.append(line)
        return f"{text} {ends}"
