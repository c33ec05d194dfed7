"""What the query of a GET may say: pages of items, and what to include."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

from fastapi import Request

from fathom.api.openai.responses.schemas import Include
from fathom.core.errors import BadRequest

Json = dict[str, Any]


def page(items: Sequence[Json], *, after: str | None, limit: int, order: Literal["asc", "desc"]) -> Json:
    """`limit` items behind the one with the id `after`. `items`: oldest first. Raises BadRequest."""
    ordered = items if order == "asc" else items[::-1]
    if after is not None:
        at = next((at for at, item in enumerate(ordered) if item["id"] == after), None)
        if at is None:
            raise BadRequest(f"There is no item {after[:100]!r} in this response's input.", param="after")
        ordered = ordered[at + 1 :]
    data = ordered[:limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(ordered) > limit,
    }


def includes(request: Request) -> set[str]:
    """As `include=a&include=b`, `include[]=a` or `include=a,b`: clients differ. Raises BadRequest."""
    given = request.query_params.getlist("include") + request.query_params.getlist("include[]")
    asked = {name for each in given for name in each.split(",") if name}
    if unknown := sorted(asked - set(get_args(Include))):
        raise BadRequest(f"include knows {', '.join(get_args(Include))}, and no {unknown[0][:80]!r}.", param="include")
    return asked
