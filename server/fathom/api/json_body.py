"""Bodies to JSON, before a schema sees them: UTF-8, numbers that are numbers, not too deep (pydantic stops at 200
levels) and not of too many parts. So nothing behind it meets NaN, half a character or a tower of lists."""

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.datastructures import Headers

from fathom.api.access import Needs
from fathom.core.errors import BadRequest, WrongMediaType

MOST_VALUES = 131_072
"""Strings, lists and objects of one body, the names of fields among them. Each costs far more than its bytes."""

_LEAST = 3  # bytes of one, with its comma
_HALF = re.compile("[\ud800-\udfff]")
_VALUE = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]', re.DOTALL)


class JsonRoute(APIRoute):
    """Its body, if it takes one, is JSON, and is not looked at for a key that lacks the scope."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        scopes = [each.dependency for each in self.dependencies if isinstance(each.dependency, Needs)]

        async def read(request: Request) -> Response:
            for scope in scopes:
                await scope(request)
            _check_media_type(request.headers)
            return await handle(_Request(request, parse(await request.body())))

        return read


class _Request(Request):
    """One whose body was read."""

    def __init__(self, request: Request, value: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._body = b"read"  # what it says is in the value
        self._value = value

    async def json(self) -> Any:
        return self._value


def parse(body: bytes) -> Any:
    """Raises BadRequest."""
    if len(body) > _LEAST * MOST_VALUES and not _few(body):
        raise BadRequest(f"The body has more than {MOST_VALUES} strings, lists and objects. Send less.")
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        if where := _half_character(body):
            problem = "The text has half of a surrogate pair in it. Send whole characters."
            raise BadRequest(problem, param=where) from None
        if str(error).startswith("recursion limit"):
            raise BadRequest("The body is nested deeper than 200 levels. Flatten it.") from None
        raise BadRequest(f"The body is not valid JSON: {error}.") from None


def _few(body: bytes) -> bool:
    return all(found != MOST_VALUES for found, _ in enumerate(_VALUE.finditer(body)))


def _half_character(body: bytes) -> str | None:
    """The field whose text has one: a client that cuts texts by their length in UTF-16 has to know which it was."""
    try:
        left: list[tuple[str, Any]] = [("", json.loads(body, parse_int=float))]
    except (ValueError, RecursionError):
        return None
    while left:
        where, value = left.pop()
        if isinstance(value, str) and _HALF.search(value):
            return where.removeprefix(".")
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        left += [(f"{where}.{name}", each) for name, each in inner]
    return None


def _check_media_type(headers: Headers) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if not (kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))):
        raise WrongMediaType("The body must be a JSON object, sent with Content-Type: application/json.")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise WrongMediaType("Bodies are read as they come. Send it without Content-Encoding.")
