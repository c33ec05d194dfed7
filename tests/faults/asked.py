"""Responses that clients ask of a server that is going to be killed."""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.contract.cases import MODEL, QUESTION

Json = dict[str, Any]

SHORT, LONG, ENDLESS = 12, 60, 1500  # tokens


@dataclass
class Asked:
    """A response that a client asked for. id: once the client was told that it is kept. events: what it saw."""

    kind: str
    fields: Json
    id: str | None = None
    events: list[Json] = field(default_factory=list)
    before: bytes = b""

    def ask(self, url: str) -> None:
        """Until it is answered, or the server is gone."""
        with suppress(httpx.TransportError), httpx.Client(timeout=120) as client:
            self._ask(client, f"{url}/v1/responses")

    def _ask(self, client: httpx.Client, url: str) -> None:
        body = {"model": MODEL, "input": QUESTION, "reasoning": {"effort": "minimal"}, "ignore_eos": True}
        with client.stream("POST", url, json={**body, **self.fields}) as response:
            assert response.status_code == 200, response.read()
            if self.fields.get("stream"):
                self._follow(response)
            else:
                self.id = json.loads(response.read())["id"]

    def _follow(self, response: httpx.Response) -> None:
        for line in response.iter_lines():
            if line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                self.events.append(event)
                self.id = self.id or event["response"]["id"]


def the_rest() -> list[Asked]:
    """What is on its way when the server is killed. The first one has begun."""
    endless = {"stream": True, "max_output_tokens": ENDLESS}
    background = {"background": True, "max_output_tokens": LONG}
    return [
        *(Asked("background stream", {**background, "stream": True}) for _ in range(4)),
        *(Asked("background", background) for _ in range(6)),
        *(Asked("stream", endless) for _ in range(6)),
    ]


def the_done() -> list[Asked]:
    """What has ended by then."""
    kinds: dict[str, Json] = {
        "done": {},
        "done stream": {"stream": True},
        "done background": {"background": True},
        "done background stream": {"background": True, "stream": True},
    }
    return [Asked(kind, {**fields, "max_output_tokens": SHORT}) for kind, fields in kinds.items()]
