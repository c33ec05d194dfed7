"""What an OpenAI-compatible server sends, as its clients here read it: models, streams of chunks, refusals."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from fathom.core.errors import StartupError
from fathom.settings import API_KEY

SECONDS = 10.0
STREAMING = httpx.Timeout(SECONDS, read=None)  # a first token may take minutes


class NoAnswer(Exception):
    """No answer, or half of one. The message is the server's own, or says what became of the connection."""


class Error(msgspec.Struct):
    message: str


class Delta(msgspec.Struct):
    reasoning_content: str | None = None
    reasoning: str | None = None
    content: str | None = None

    @property
    def trace(self) -> str:
        return self.reasoning_content or self.reasoning or ""


class Choice(msgspec.Struct):
    delta: Delta = msgspec.field(default_factory=Delta)
    finish_reason: str | None = None


class OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: OutputDetails | None = None

    @property
    def reasoning_tokens(self) -> int | None:
        return self.completion_tokens_details.reasoning_tokens if self.completion_tokens_details else None

    @property
    def cached_tokens(self) -> int | None:
        return self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else None


class Frame(msgspec.Struct):
    choices: list[Choice] = []
    usage: Usage | None = None
    error: Error | str | None = None


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


_frame = msgspec.json.Decoder(Frame).decode


class Frames:
    """The frames of a stream that comes in pieces of any size. `done`: its [DONE] has come."""

    def __init__(self) -> None:
        self.done = False
        self._pending = b""

    def feed(self, piece: bytes) -> Iterator[Frame]:
        """Raises NoAnswer for what is no frame, and for one that carries an error."""
        for line in self._lines(piece):
            name, _, data = line.partition(b":")
            if name != b"data" or self.done:
                continue
            if data.strip() == b"[DONE]":
                self.done = True
                continue
            yield _read(data)

    def _lines(self, piece: bytes) -> list[bytes]:
        """Split at line feeds alone: httpx's own lines also end at U+2028 and its like, which JSON carries as they
        are."""
        *lines, self._pending = (self._pending + piece).split(b"\n")
        return lines


def _read(data: bytes) -> Frame:
    try:
        frame = _frame(data)
    except msgspec.MsgspecError as error:
        raise NoAnswer(f"the server sent a frame that is none: {error}") from None
    if frame.error is not None:
        raise NoAnswer(_message(frame.error))
    return frame


def connection(url: str, api_key: str | None) -> dict[str, Any]:
    """What an httpx client is made with. Raises StartupError; the key is in no message."""
    if api_key and not (api_key.isascii() and api_key.isprintable() and " " not in api_key):
        raise StartupError(f"the API key has characters that no header carries; look at --api-key or {API_KEY}")
    near = urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    headers = {b"authorization": f"Bearer {api_key}".encode()} if api_key else {}
    return {"base_url": url, "headers": headers, "timeout": SECONDS, "trust_env": not near}


def base(url: str) -> str:
    """With its scheme, and without /v1 at its end."""
    with_scheme = url if "://" in url else f"http://{url}"
    return with_scheme.rstrip("/").removesuffix("/v1")


def model_ids(answer: httpx.Response, url: str) -> list[str]:
    """Of what /v1/models answers. Raises NoAnswer."""
    if not answer.is_success:
        raise NoAnswer(refusal(answer))
    try:
        return [model.id for model in msgspec.json.decode(answer.content, type=_Models).data]
    except msgspec.MsgspecError:
        raise NoAnswer(f"what answers at {url} is not an OpenAI-compatible server") from None


def refusal(response: httpx.Response) -> str:
    try:
        error = _frame(response.content).error
    except msgspec.MsgspecError:
        error = None
    said = _message(error) if error else f"{response.url} answers {response.status_code} {response.reason_phrase}"
    return f"{said.rstrip('.')}; give a key with --api-key, or in {API_KEY}" if response.status_code == 401 else said


def reason(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__


def _message(error: Error | str) -> str:
    text = error if isinstance(error, str) else error.message
    return " ".join(text.split()) or "the server failed without saying why"
