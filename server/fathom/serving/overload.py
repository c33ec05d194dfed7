"""Refusing at once what would wait for too long, or with too many others: an early no is worth more than a late one."""

from typing import Any

from fathom.core.errors import Overloaded, RateLimitExceeded, ServiceError
from fathom.core.generation import GenerationRequest
from fathom.core.tenant import EVERYONE
from fathom.serving.deadline import PARAM as TIMEOUT
from fathom.serving.fair_queue import FairQueue, Line
from fathom.serving.pace import Pace
from fathom.settings import LimitSettings
from fathom.telemetry import metrics

_LONGEST_RETRY = 60.0  # SDKs do not obey a longer one
_UNKNOWN_RETRY = 1.0


class Overload:
    """A tenant may fill its share of the queue, and is told (429) when it has. Where it is not its own requests that
    are in the way, the server has too much to do (503)."""

    def __init__(self, limits: LimitSettings, queue: FairQueue[Any], pace: Pace) -> None:
        self._limits, self._queue, self._pace = limits, queue, pace

    def check(self, request: GenerationRequest, line: Line[Any], prompt_tokens: int = 0, cost: float = 0.0) -> None:
        """For a request that has to wait in this line. Raises RateLimitExceeded and Overloaded."""
        wait = self._pace.seconds(self._queue.ahead(line).cost + cost)
        share, limits = self._queue.share(line), self._limits
        if line.requests and line.requests + 1 > share * limits.queue_requests:
            raise self._full(request, "requests", line.requests, limits.queue_requests, wait)
        if line.requests and line.prompt_tokens + prompt_tokens > share * limits.queue_tokens:
            raise self._full(request, "tokens", line.prompt_tokens, limits.queue_tokens, wait)
        most, limit = self._patience(request)
        if wait is not None and wait > most:
            alone = self._pace.seconds(self._queue.ahead_without_own(line).cost + cost)
            raise self._too_long(request, wait, most, limit, own=alone is not None and alone <= most)

    def _patience(self, request: GenerationRequest) -> tuple[float, str]:
        """Seconds that it may wait, and who says so."""
        limits = self._limits
        given = [(limits.queue_wait, "limits.queue_wait"), (limits.queue_timeout, "limits.queue_timeout")]
        return min(given if request.timeout is None else [*given, (request.timeout, TIMEOUT)])

    def _full(self, request: GenerationRequest, of: str, own: int, most: int, wait: float | None) -> ServiceError:
        retry = _UNKNOWN_RETRY if wait is None else wait / 10  # then a tenth of what waits is gone
        where = f"limits.queue_{of} = {most}"
        if self._may_be_own(request):
            why = f"{own} {of} of yours wait already, which is your share of the queue ({where})"
            return _refusal(RateLimitExceeded, of, f"{why}. Send fewer at a time, or try again in {{}}.", retry)
        return _refusal(
            Overloaded, of, f"This server is overloaded: its queue is full ({where}). Try again in {{}}.", retry
        )

    def _too_long(self, request: GenerationRequest, wait: float, most: float, limit: str, *, own: bool) -> ServiceError:
        kind = "deadline" if limit == TIMEOUT else "wait"
        retry = max(wait - most, wait / 10)
        told = f"would wait for about {wait:.1f} s, and may wait for {most:g} s ({limit})"
        if own and self._may_be_own(request):
            why = f"Behind those of yours that wait already, this request {told}"
            return _refusal(RateLimitExceeded, kind, f"{why}. Send fewer at a time, or try again in {{}}.", retry)
        return _refusal(Overloaded, kind, f"This server is overloaded: this request {told}. Try again in {{}}.", retry)

    def _may_be_own(self, request: GenerationRequest) -> bool:
        """Whether those of one tenant can be told from those of others."""
        return self._limits.fair and request.caller.tenant != EVERYONE


def _refusal(kind: type[ServiceError], reason: str, message: str, retry: float) -> ServiceError:
    retry = min(retry, _LONGEST_RETRY)
    error = kind(message.format(f"{retry:.1f} s"), retry_after=retry)
    metrics.REQUESTS_REFUSED.labels(reason=reason, code=error.code).inc()
    return error
