"""Every error becomes bytes here, once, in the dialect of its path.

OpenAI's shape is the default: {"error": {message, type, param, code}}, always all four.
"""

import math
from collections.abc import Callable

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from fathom.api.anthropic import errors as anthropic
from fathom.api.fields import printable
from fathom.core.errors import BadRequest, ServiceError


class ErrorDetail(BaseModel):
    """`param`: the field at fault. `code`: what programs look at."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """Every error of a route that has no shape of its own, as the OpenAPI document describes it."""

    error: ErrorDetail


_DIALECTS: dict[str, Callable[[ServiceError, str], bytes]] = {"/v1/messages": anthropic.body}
"""By path, and whatever is below it; given the error and the request's id."""

_MOST_TEXT = 1000
_MOST_PARAM = 200
_BRANCHES = {"str", "int", "float", "bool", "dict"}

SURPRISE = ServiceError("The server failed on this request. Its log has the details under the x-request-id.")


def install(app: FastAPI) -> None:
    """Answer every exception as an error of its dialect."""
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


def body(error: ServiceError) -> bytes:
    """OpenAI's error object."""
    param = error.param and printable(error.param, _MOST_PARAM)
    shape = {"message": printable(error.message, _MOST_TEXT), "type": error.type, "param": param, "code": error.code}
    return msgspec.json.encode({"error": shape})


def response(error: ServiceError, scope: Scope) -> Response:
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        milliseconds = max(1, math.ceil(error.retry_after * 1000))
        headers = {"retry-after": str(math.ceil(milliseconds / 1000)), "retry-after-ms": str(milliseconds)}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.retry is not None:
        headers["x-should-retry"] = str(error.retry).lower()
    return Response(_in_dialect(error, scope), error.status, headers, "application/json")


def _in_dialect(error: ServiceError, scope: Scope) -> bytes:
    path: str = scope["path"]
    for prefix, render in _DIALECTS.items():
        if path == prefix or path.startswith(f"{prefix}/"):
            return render(error, scope["state"]["request_id"])
    return body(error)


async def _on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return response(error, request.scope)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = error.errors()
    first = errors[0]
    path = [str(part) for part in first["loc"][1:]]
    if not path:
        return response(BadRequest("The body must be a JSON object."), request.scope)
    where = _parameter(path)
    more = f" ({len(errors) - 1} more problems in the body.)" if len(errors) > 1 else ""
    return response(BadRequest(f"{where}: {first['msg']}.{more}", param=where), request.scope)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    refused = BadRequest(_http_message(request, error))
    refused.status = error.status_code
    refused.code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    answer = response(refused, request.scope)
    answer.headers.update(error.headers or {})
    return answer


def _http_message(request: Request, error: HTTPException) -> str:
    path = str(request.scope["path"])[:200]
    match error.status_code:
        case 404:
            return f"There is nothing at {request.method} {path}. GET /docs lists what there is."
        case 405:
            return f"{path} does not take {request.method}. GET /docs lists what there is."
        case _:
            return str(error.detail)


def _parameter(path: list[str]) -> str | None:
    """The field as a client writes it, messages.0.content, without what pydantic adds for validators and unions."""
    return ".".join(part for part in path if part.replace("_", "").isalnum() and part not in _BRANCHES) or None
