"""Every error a client or an operator can meet.

    ServiceError                500  server_error
    |- BadRequest               400  invalid_request_error
    |  |- Unsupported           400  unsupported_value: the server knows the field and cannot honour it
    |  |- UnknownParameter      400  unknown_parameter: the server does not know the field, and is strict
    |  |- Unreadable            400  invalid_request: no HTTP, no JSON, or not the JSON that is asked for
    |  |- WrongMediaType        415  unsupported_media_type
    |  `- ContextLengthExceeded 400  context_length_exceeded
    |- Unauthenticated          401  invalid_api_key: no key, or one that opens nothing here
    |- PermissionDenied         403  insufficient_permissions: the key has not the scope that the route needs
    |- ModelNotFound            404  model_not_found
    |- NotFound                 404  not_found: no such stored thing, or it is another tenant's
    |- PayloadTooLarge          413  payload_too_large
    |- RequestTimeout           408  request_timeout: the time that the client gave is over, or it sends too slowly
    |- MisdirectedRequest       421  misdirected_request: the client takes this server for another host
    |- RateLimitExceeded        429  rate_limit_exceeded: a key or tenant asks for more than it may, with Retry-After
    |- QuotaExceeded            429  insufficient_quota: a key's budget is used up
    |- HeadersTooLarge          431  headers_too_large
    |- EngineCrashed            500  engine_crashed: the engine died twice with this request in it
    |- DeadlineExceeded         504  deadline_exceeded: the time that the server gives is over
    |- EngineUnavailable        503  engine_unavailable, with Retry-After
    |  `- ShuttingDown          503  shutting_down
    |- Overloaded               503  overloaded: there is more to do than can be done in time, with Retry-After
    |- TooManyConnections       503  too_many_connections, with Retry-After
    `- StoreUnavailable         503  store_unavailable: the database does not answer, with Retry-After
       `- StoreFull             507  store_full: it has no room

    StartupError: the server cannot start or go on; one line for the operator, then a non-zero exit.

A ServiceError is raised anywhere and rendered once, by api/errors.py, in the dialect of the route. Messages state the
problem, the limit and the fix. Shapes and codes are those of OpenAI's API: {"error": {message, type, param, code}}.
"""


class ServiceError(Exception):
    """The request failed. `status` is the HTTP status, `type` and `code` are OpenAI's words for it.

    retry: whether a client should send it again, where that is not what the status says.
    """

    status = 500
    type = "server_error"
    code: str | None = "internal_error"
    retry: bool | None = None

    def __init__(self, message: str, *, param: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after


class BadRequest(ServiceError):
    status = 400
    type = "invalid_request_error"
    code = "invalid_value"


class Unsupported(BadRequest):
    code = "unsupported_value"


class UnknownParameter(BadRequest):
    code = "unknown_parameter"


class Unreadable(BadRequest):
    code = "invalid_request"


class WrongMediaType(BadRequest):
    status = 415
    code = "unsupported_media_type"


class ContextLengthExceeded(BadRequest):
    code = "context_length_exceeded"

    def __init__(
        self,
        *,
        limit: int,
        prompt_tokens: int,
        max_tokens: int | None = None,
        param: str = "messages",
        at_least: bool = False,
    ) -> None:
        """at_least: the prompt was not counted to its end."""
        asked = f"{prompt_tokens} in the {param}"
        if max_tokens is not None:
            asked = f"{prompt_tokens + max_tokens} tokens ({asked}, {max_tokens} in the completion)"
        else:
            asked = f"{prompt_tokens} tokens ({asked}), which leaves no room for a completion"
        asked = f"at least {asked}" if at_least else asked
        self.limit, self.prompt_tokens = limit, prompt_tokens
        super().__init__(
            f"This model's maximum context length is {limit} tokens, but you requested {asked}. "
            f"Shorten the {param}, ask for fewer completion tokens, or start the server with a larger --max-model-len.",
            param=param,
        )


class Unauthenticated(ServiceError):
    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"


class PermissionDenied(ServiceError):
    status = 403
    type = "invalid_request_error"
    code = "insufficient_permissions"


class ModelNotFound(ServiceError):
    status = 404
    type = "invalid_request_error"
    code = "model_not_found"

    def __init__(self, model: str, served: str) -> None:
        super().__init__(
            f"The model {model[:200]!r} does not exist here: this server serves {served!r}. GET /v1/models lists it.",
            param="model",
        )


class NotFound(ServiceError):
    status = 404
    type = "invalid_request_error"
    code = "not_found"


class PayloadTooLarge(ServiceError):
    status = 413
    type = "invalid_request_error"
    code = "payload_too_large"


class RequestTimeout(ServiceError):
    status = 408
    type = "invalid_request_error"
    code = "request_timeout"
    retry = False


class RateLimitExceeded(ServiceError):
    """kind: of what there was too much, "requests" or "tokens"; it is the error's type."""

    status = 429
    type = "requests"
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_after: float, kind: str = "requests") -> None:
        super().__init__(message, retry_after=retry_after)
        self.type = kind


class QuotaExceeded(ServiceError):
    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"
    retry = False


class MisdirectedRequest(ServiceError):
    status = 421
    type = "invalid_request_error"
    code = "misdirected_request"
    retry = False


class HeadersTooLarge(ServiceError):
    status = 431
    type = "invalid_request_error"
    code = "headers_too_large"


class EngineCrashed(ServiceError):
    code = "engine_crashed"
    retry = False


class DeadlineExceeded(ServiceError):
    status = 504
    code = "deadline_exceeded"


class EngineUnavailable(ServiceError):
    status = 503
    code = "engine_unavailable"


class ShuttingDown(EngineUnavailable):
    code = "shutting_down"


class Overloaded(ServiceError):
    status = 503
    code = "overloaded"


class TooManyConnections(ServiceError):
    status = 503
    code = "too_many_connections"


class StoreUnavailable(ServiceError):
    status = 503
    code = "store_unavailable"


class StoreFull(StoreUnavailable):
    status = 507
    code = "store_full"


class StartupError(Exception):
    """The server cannot start, or cannot go on. The message is one line that names the problem and the fix."""


def makes_no_embeddings(model: str) -> Unsupported:
    return Unsupported(
        f"{model} generates text and makes no embeddings. Serve an embedding model for that, for example with: "
        "fathom serve BAAI/bge-small-en-v1.5",
        param="model",
    )
