"""The client's side of a benchmark: one request at a time, timed."""

import asyncio
import time
from typing import Any

import httpx

from fathom.cli import wire
from fathom.cli.bench_stream import Answer, Reader
from fathom.cli.wire import NoAnswer
from fathom.core.errors import StartupError

_UNLIMITED = httpx.Limits(max_connections=None, max_keepalive_connections=None)


class BenchClient:
    """`url`: with or without /v1 at its end. `timeout`: seconds that a request may take, from its start to its end.
    Raises StartupError for what is no address."""

    def __init__(self, url: str, api_key: str | None, timeout: float) -> None:
        self._timeout = timeout
        base = wire.base(url)
        try:
            self._http = httpx.AsyncClient(**wire.connection(base, api_key), limits=_UNLIMITED)
            address = self._http.base_url
            if address.scheme not in ("http", "https") or not address.host:
                raise ValueError("it needs http or https, and a host")
        except (httpx.InvalidURL, ValueError) as error:
            raise StartupError(f"{url} is no address: {error}; it looks like http://127.0.0.1:8000") from None
        self.url = str(address.copy_with(userinfo=b"")).rstrip("/")  # it may hold a password

    async def close(self) -> None:
        await self._http.aclose()

    async def models(self, *, needed: bool) -> list[str]:
        """The ids that it serves; unless they are needed, nothing of a server that has no such list. Raises
        StartupError."""
        try:
            answer = await self._http.get("/v1/models")
            return wire.model_ids(answer, self.url)
        except httpx.HTTPError as error:
            raise StartupError(f"cannot reach {self.url}: {wire.reason(error)}; is a server running there?") from None
        except NoAnswer as error:
            listless = answer.is_success or answer.status_code == httpx.codes.NOT_FOUND
            if listless and not needed:
                return []
            raise StartupError(f"{error}; name a model with --model" if listless else str(error)) from None

    async def measure(self, body: dict[str, Any]) -> Answer:
        """One streamed answer. Raises NoAnswer."""
        streamed = body | {"stream": True, "stream_options": {"include_usage": True}}
        try:
            async with asyncio.timeout(self._timeout):
                return await self._read(streamed)
        except TimeoutError:
            raise NoAnswer(f"no whole answer within {self._timeout:g} s") from None
        except httpx.ConnectError as error:
            raise NoAnswer(f"cannot reach {self.url}: {wire.reason(error)}") from None
        except httpx.HTTPError as error:
            raise NoAnswer(f"the connection was lost: {wire.reason(error)}") from None

    async def _read(self, body: dict[str, Any]) -> Answer:
        reader, began = Reader(), time.perf_counter()
        async with self._http.stream("POST", "/v1/chat/completions", json=body, timeout=wire.STREAMING) as response:
            if not response.is_success:
                await response.aread()
                raise NoAnswer(f"{response.status_code}: {wire.refusal(response)}")
            async for piece in response.aiter_bytes():
                reader.feed(piece, time.perf_counter() - began)
            return reader.end(time.perf_counter() - began)
