"""Every field of every route, as the OpenAPI document names them, with values that nobody means."""

from collections.abc import Iterator
from typing import Any

from tests.hostile.runner import ANY, Case, fields
from tests.hostile.target import Target

Json = dict[str, Any]

VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**63, -(2**63) - 1, 10**300, 0.5, 1e308),
    *("", "1", "x" * 10_000, "\x00", "\ufdd0\ufeff\u202e", "../../etc/passwd"),
    *([], [None], [-1], ["x"] * 2000, [[[[[[]]]]]], [{"type": "text"}] * 200),
    *({}, {"": ""}, {"type": None}, {str(at): at for at in range(2000)}, {"a": {"b": {}}}),
)
_FEWER = 3  # for a field that another route has, too


def named(document: Json, path: str) -> list[str]:
    """The fields that a route's body may have."""
    schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    branches = [_resolved(document, branch) for branch in schema.get("anyOf", schema.get("oneOf", [schema]))]
    return sorted({name for branch in branches for name in branch["properties"]})


def matrix(target: Target, document: Json, path: str) -> Iterator[Case]:
    paths = list(target.dialects)
    known = {name for other in paths[: paths.index(path)] for name in named(document, other)}
    for at, name in enumerate(named(document, path)):
        values = VALUES[at % _FEWER :: _FEWER] if name in known else VALUES
        yield from (fields(target, path, f"{name} = {value!r:.60}", ANY, **{name: value}) for value in values)


def _resolved(document: Json, schema: Json) -> Json:
    for step in schema.get("$ref", "#").split("/")[1:]:
        document = document[step]
    return document if "$ref" in schema else schema
