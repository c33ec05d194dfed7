"""GET /v1/usage and GET /admin/usage: what was used, by day, key and model."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response

from fathom.api.dependencies import CurrentLedger, CurrentTenant
from fathom.core.errors import BadRequest
from fathom.core.usage import Amounts, Place

router = APIRouter(tags=["usage"])
admin_router = APIRouter(tags=["admin"])

Day = Annotated[date | None, Query(description="As in 2026-01-31, UTC.")]

_DAYS = 30
_MOST_DAYS = 366


@router.get("/v1/usage")
async def get_usage(ledger: CurrentLedger, tenant: CurrentTenant, start: Day = None, end: Day = None) -> Response:
    """Of the caller's tenant. Both days are counted; without them, the last 30 days."""
    first, last = _days(start, end)
    return _listed(await ledger.between(first, last, tenant=tenant.id), first, last)


@admin_router.get("/admin/usage")
async def get_all_usage(
    ledger: CurrentLedger,
    start: Day = None,
    end: Day = None,
    tenant: str | None = None,
    key: str | None = None,
) -> Response:
    """Of all tenants, or of one tenant or key."""
    first, last = _days(start, end)
    return _listed(await ledger.between(first, last, tenant=tenant, key=key), first, last)


def _days(start: date | None, end: date | None) -> tuple[str, str]:
    last = end or datetime.now(UTC).date()
    first = start or last - timedelta(days=_DAYS - 1)
    if first > last:
        raise BadRequest(f"start ({first}) is behind end ({last}). Swap them.", param="start")
    if (last - first).days >= _MOST_DAYS:
        raise BadRequest(f"{first} to {last} is more than {_MOST_DAYS} days. Ask for them in parts.", param="start")
    return first.isoformat(), last.isoformat()


def _listed(rows: Sequence[tuple[Place, Amounts]], first: str, last: str) -> Response:
    total = Amounts()
    for _, used in rows:
        total.add(used)
    body: dict[str, Any] = {
        "object": "list",
        "start": first,
        "end": last,
        "data": [_row(place, used) for place, used in rows],
        "total": {**asdict(total), "total_tokens": total.tokens},
    }
    return Response(msgspec.json.encode(body), media_type="application/json")


def _row(place: Place, used: Amounts) -> dict[str, Any]:
    where = {"day": place.day, "tenant": place.tenant, "key": place.key or None, "model": place.model}
    return {"object": "usage", **where, **asdict(used), "total_tokens": used.tokens}
