"""The client's side of a chat: an OpenAI-compatible server's models, the state of its start, and streamed answers."""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from fathom.cli import wire
from fathom.cli.wire import Frame, Frames, NoAnswer, Usage
from fathom.core.events import ReasoningDelta, TextDelta


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer is whole. `tokens` includes those of `thinking`; None where the server does not count."""

    reason: str | None = None
    tokens: int | None = None
    thinking: int = 0


Piece = ReasoningDelta | TextDelta | Ended


class Startup(msgspec.Struct):
    """Where the server's start is. `share`: how much of the phase is done, 0 to 1."""

    phase: str
    share: float | None = None


class ChatClient:
    """`url`: with or without /v1 at its end."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self.url = wire.base(url)
        self._http = httpx.Client(**wire.connection(self.url, api_key))

    def close(self) -> None:
        self._http.close()

    def startup(self) -> Startup | None:
        """None once the start is over, and for servers that do not tell. Raises NoAnswer."""
        try:
            answer = self._http.get("/startupz")
            return msgspec.json.decode(answer.content, type=Startup) if answer.status_code == 503 else None
        except msgspec.MsgspecError:
            return None
        except httpx.HTTPError as error:
            raise NoAnswer(f"cannot reach {self.url}: {wire.reason(error)}") from None

    def models(self) -> list[str]:
        """The ids that it serves. Raises NoAnswer."""
        try:
            return wire.model_ids(self._http.get("/v1/models"), self.url)
        except httpx.HTTPError as error:
            raise NoAnswer(f"cannot reach {self.url}: {wire.reason(error)}") from None

    def answer(self, body: dict[str, Any]) -> Generator[Piece]:
        """Stream one answer, Ended last. Closing the generator closes the connection. Raises NoAnswer."""
        streamed = body | {"stream": True, "stream_options": {"include_usage": True}}
        try:
            with self._http.stream("POST", "/v1/chat/completions", json=streamed, timeout=wire.STREAMING) as response:
                if not response.is_success:
                    response.read()
                    raise NoAnswer(wire.refusal(response))
                yield from _pieces(response.iter_bytes())
        except httpx.ConnectError as error:
            raise NoAnswer(f"cannot reach {self.url}: {wire.reason(error)}") from None
        except httpx.HTTPError as error:
            raise NoAnswer(f"the connection to {self.url} was lost: {wire.reason(error)}") from None


def _pieces(chunks: Iterable[bytes]) -> Iterator[Piece]:
    reason: str | None = None
    usage = Usage()
    for frame in _frames(chunks):
        for choice in frame.choices:
            if trace := choice.delta.trace:
                yield ReasoningDelta(trace)
            if text := choice.delta.content:
                yield TextDelta(text)
            reason = choice.finish_reason or reason
        usage = frame.usage or usage
    yield Ended(reason, usage.completion_tokens, usage.reasoning_tokens or 0)


def _frames(chunks: Iterable[bytes]) -> Iterator[Frame]:
    """The frames before [DONE]. A stream that ends without it was cut."""
    frames = Frames()
    for chunk in chunks:
        yield from frames.feed(chunk)
        if frames.done:
            return
    raise NoAnswer("the server closed the connection in the middle of the answer")
