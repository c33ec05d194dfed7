"""The client's side of a chat: an OpenAI-compatible server's models, the state of its start, and streamed answers."""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from fathom.core.events import ReasoningDelta, TextDelta
from fathom.settings import API_KEY

_SECONDS = 10.0
_STREAMING = httpx.Timeout(_SECONDS, read=None)  # a first token may take minutes; Ctrl+C ends the wait


class ChatFailed(Exception):
    """No answer, or half of one. The message is the server's own, or says what became of the connection."""


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
        self.url = _base(url)
        headers = {b"authorization": f"Bearer {api_key}".encode()} if api_key else {}
        near = urlsplit(self.url).hostname in ("127.0.0.1", "localhost", "::1")
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=_SECONDS, trust_env=not near)

    def close(self) -> None:
        self._http.close()

    def startup(self) -> Startup | None:
        """None once the start is over, and for servers that do not tell. Raises ChatFailed."""
        try:
            answer = self._http.get("/startupz")
            return msgspec.json.decode(answer.content, type=Startup) if answer.status_code == 503 else None
        except msgspec.MsgspecError:
            return None
        except httpx.HTTPError as error:
            raise ChatFailed(f"cannot reach {self.url}: {_reason(error)}") from None

    def models(self) -> list[str]:
        """The ids that it serves. Raises ChatFailed."""
        try:
            answer = self._http.get("/v1/models")
            if not answer.is_success:
                raise ChatFailed(_refusal(answer))
            return [model.id for model in msgspec.json.decode(answer.content, type=_Models).data]
        except msgspec.MsgspecError:
            raise ChatFailed(f"what answers at {self.url} is not an OpenAI-compatible server") from None
        except httpx.HTTPError as error:
            raise ChatFailed(f"cannot reach {self.url}: {_reason(error)}") from None

    def answer(self, body: dict[str, Any]) -> Generator[Piece]:
        """Stream one answer, Ended last. Closing the generator closes the connection. Raises ChatFailed."""
        streamed = body | {"stream": True, "stream_options": {"include_usage": True}}
        try:
            with self._http.stream("POST", "/v1/chat/completions", json=streamed, timeout=_STREAMING) as response:
                if not response.is_success:
                    response.read()
                    raise ChatFailed(_refusal(response))
                yield from _pieces(response.iter_bytes())
        except httpx.ConnectError as error:
            raise ChatFailed(f"cannot reach {self.url}: {_reason(error)}") from None
        except httpx.HTTPError as error:
            raise ChatFailed(f"the connection to {self.url} was lost: {_reason(error)}") from None


class _Error(msgspec.Struct):
    message: str


class _Delta(msgspec.Struct):
    reasoning_content: str | None = None
    reasoning: str | None = None
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    completion_tokens: int | None = None
    completion_tokens_details: _Details | None = None


class _Frame(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: _Error | str | None = None


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


_frame = msgspec.json.Decoder(_Frame).decode


def _pieces(chunks: Iterable[bytes]) -> Iterator[Piece]:
    reason: str | None = None
    usage = _Usage()
    for frame in _frames(chunks):
        if frame.error is not None:
            raise ChatFailed(_message(frame.error))
        for choice in frame.choices:
            if trace := choice.delta.reasoning_content or choice.delta.reasoning:
                yield ReasoningDelta(trace)
            if text := choice.delta.content:
                yield TextDelta(text)
            reason = choice.finish_reason or reason
        usage = frame.usage or usage
    details = usage.completion_tokens_details or _Details()
    yield Ended(reason, usage.completion_tokens, details.reasoning_tokens or 0)


def _frames(chunks: Iterable[bytes]) -> Iterator[_Frame]:
    """The frames before [DONE]. A stream that ends without it was cut."""
    for line in _lines(chunks):
        name, _, data = line.partition(b":")
        if name != b"data":
            continue
        if data.strip() == b"[DONE]":
            return
        try:
            yield _frame(data)
        except msgspec.MsgspecError as error:
            raise ChatFailed(f"the server sent a frame that is none: {error}") from None
    raise ChatFailed("the server closed the connection in the middle of the answer")


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Split at line feeds alone: httpx's own lines also end at U+2028 and its like, which JSON carries as they are."""
    pending = b""
    for chunk in chunks:
        *lines, pending = (pending + chunk).split(b"\n")
        yield from lines


def _refusal(response: httpx.Response) -> str:
    try:
        error = _frame(response.content).error
    except msgspec.MsgspecError:
        error = None
    said = _message(error) if error else f"{response.url} answers {response.status_code} {response.reason_phrase}"
    return f"{said.rstrip('.')}; give a key with --api-key, or in {API_KEY}" if response.status_code == 401 else said


def _message(error: _Error | str) -> str:
    text = error if isinstance(error, str) else error.message
    return " ".join(text.split()) or "the server failed without saying why"


def _reason(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__


def _base(url: str) -> str:
    with_scheme = url if "://" in url else f"http://{url}"
    return with_scheme.rstrip("/").removesuffix("/v1")
