"""Bodies of /admin/keys to what serving takes, and keys to JSON, which `fathom keys --json` prints, too."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from fathom.api.admin.keys.schemas import ChangeBody, LimitsBody, NewKeyBody
from fathom.core.clock import now
from fathom.core.tenant import Limits
from fathom.serving.keys import Change, Changed, NewKey, StoredKey

Json = dict[str, Any]


def to_new(body: NewKeyBody) -> NewKey:
    return NewKey(
        name=body.name,
        tenant=body.tenant,
        scopes=frozenset(body.scopes),
        weight=body.weight,
        limits=_limits(body.limits),
        expires_at=_milliseconds(body.expires_at),
    )


def to_change(body: ChangeBody) -> Change:
    every: Json = {
        "name": body.name,
        "weight": body.weight,
        "limits": _limits(body.limits),
        "expires_at": _milliseconds(body.expires_at),
    }
    given = {name: every[name] for name in body.model_fields_set}
    return lambda key: replace(key, **given)


def to_body(key: StoredKey) -> Json:
    """Times are seconds since the epoch, as in OpenAI's APIs."""
    return {
        "object": "key",
        "id": key.id,
        "name": key.name,
        "tenant": key.tenant,
        "prefix": key.prefix,
        "status": status(key),
        "scopes": sorted(key.scopes),
        "weight": key.weight,
        "limits": asdict(key.limits),
        "created_at": _seconds(key.created_at),
        "expires_at": _seconds(key.expires_at),
        "revoked_at": _seconds(key.revoked_at),
        "old_secret_until": _seconds(key.old_until),
    }


def to_changed(changed: Changed) -> Json:
    """With the secret, if it has a new one."""
    return to_body(changed.key) | ({"secret": changed.secret} if changed.secret else {})


def to_list(keys: Sequence[StoredKey], limit: int) -> Json:
    """keys: one more than `limit`, where there are more."""
    data = [to_body(key) for key in keys[:limit]]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(keys) > limit,
    }


def status(key: StoredKey) -> str:
    """Revoked and expired keys open nothing."""
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now() else "active"


def _limits(body: LimitsBody) -> Limits:
    return Limits(**body.model_dump())


def _milliseconds(seconds: int | None) -> int | None:
    return None if seconds is None else seconds * 1000


def _seconds(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else milliseconds // 1000
