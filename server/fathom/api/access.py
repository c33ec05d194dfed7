"""Who may call which route: nobody without a key, apart from what is public, and only with the scope that it needs."""

from fastapi import Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from fathom.api import errors
from fathom.core.errors import PermissionDenied, ServiceError
from fathom.core.tenant import ANYONE, Caller, Scope
from fathom.serving.access import Access
from fathom.settings import AccessSettings
from fathom.telemetry import record

PUBLIC = frozenset(
    ("/livez", "/readyz", "/startupz", "/health", "/version", "/docs", "/docs/oauth2-redirect", "/openapi.json")
)
"""Whole paths, as routes have them: probes, and what is the same on every Fathom of this version."""

_FILES_OF_DOCS = "/static-offline-docs/"
_BEARER = b"bearer "


class Authenticate:
    """401 for a request to anything that is not public, whether it is there or not, unless it has a key. Its body is
    not read before.

    The path is compared as a whole, with nothing taken off or undone. It is the very string that routes are found by:
    so no spelling of a path is public here and something else there.
    """

    def __init__(self, app: ASGIApp, access: Access, settings: AccessSettings) -> None:
        self._app, self._access = app, access
        self._public = PUBLIC | {"/metrics"} if settings.public_metrics else PUBLIC

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                caller = self._caller(scope)
            except ServiceError as refused:
                return await errors.response(refused, scope)(scope, receive, send)
            scope["state"]["caller"] = caller
            if caller.key:
                record.note(key=caller.key, tenant=caller.tenant.id)
        await self._app(scope, receive, send)

    def _caller(self, scope: Connection) -> Caller:
        path: str = scope["path"]
        if path in self._public or path.startswith(_FILES_OF_DOCS):
            return ANYONE
        return self._access.caller(_secret(scope["headers"]))


def _secret(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    """Of `Authorization: Bearer`, else of `x-api-key`."""
    found = None
    for name, value in headers:
        if name == b"authorization" and value[: len(_BEARER)].lower() == _BEARER:
            return value[len(_BEARER) :].strip() or None
        if name == b"x-api-key":
            found = value.strip() or None
    return found


class Needs(SecurityBase):
    """A dependency of routes: 403 for a key without this scope. The OpenAPI document says that they take a key."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.model = HTTPBearer(description="A key of this server. It may come in x-api-key, too.")
        self.scheme_name = "key"

    async def __call__(self, request: Request) -> None:
        caller: Caller = request.state.caller
        if self._scope not in caller.scopes:
            raise PermissionDenied(
                f"This needs a key with the scope {self._scope.value!r}, and yours has "
                f"{', '.join(sorted(caller.scopes))}. Ask whoever runs the server for another."
            )
