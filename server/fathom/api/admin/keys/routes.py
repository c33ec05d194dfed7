"""/admin/keys: keys of all tenants, for whoever runs the server."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response

from fathom.api.admin.keys import translate
from fathom.api.admin.keys.schemas import ChangeBody, NewKeyBody, RotateBody
from fathom.api.dependencies import CurrentKeys
from fathom.serving.keys import Changed

router = APIRouter(prefix="/admin/keys", tags=["admin"])

UNCONFIRMED = "x-fathom-unconfirmed-servers"
"""How many servers of this database may not go by a change yet."""


@router.post("")
async def create_key(body: NewKeyBody, keys: CurrentKeys) -> Response:
    """A new key. Its secret is in this answer, and nowhere else."""
    return _changed(await keys.create(translate.to_new(body)))


@router.get("")
async def list_keys(
    keys: CurrentKeys,
    after: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    tenant: str | None = None,
) -> Response:
    """Oldest first, with those that open nothing any more."""
    return _json(translate.to_list(await keys.page(after=after, limit=limit + 1, tenant=tenant), limit))


@router.get("/{key_id}")
async def get_key(key_id: str, keys: CurrentKeys) -> Response:
    return _json(translate.to_body(await keys.get(key_id)))


@router.patch("/{key_id}")
async def change_key(key_id: str, body: ChangeBody, keys: CurrentKeys) -> Response:
    """Its name, weight, limits or end; what is left out stays."""
    return _changed(await keys.change(key_id, translate.to_change(body)))


@router.post("/{key_id}/rotate")
async def rotate_key(key_id: str, keys: CurrentKeys, body: RotateBody | None = None) -> Response:
    """A new secret for the same key."""
    return _changed(await keys.rotate(key_id, body.grace_seconds if body else 0))


@router.delete("/{key_id}")
async def revoke_key(key_id: str, keys: CurrentKeys) -> Response:
    """For good, from the next call on. The key stays in the list."""
    return _changed(await keys.revoke(key_id))


def _changed(changed: Changed) -> Response:
    headers = {UNCONFIRMED: str(len(changed.behind))} if changed.behind else None
    return _json(translate.to_changed(changed), headers)


def _json(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), headers=headers, media_type="application/json")
