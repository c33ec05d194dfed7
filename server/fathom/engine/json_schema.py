"""Where a JSON Schema holds further schemas, and one change that it needs before xgrammar reads it."""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_ONE = ("items", "additionalProperties", "propertyNames", "unevaluatedItems", "unevaluatedProperties")
LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
MAPS = ("properties", "patternProperties", "$defs", "definitions")


def inside(schema: Schema) -> Iterator[tuple[str, Any]]:
    """The schemas directly in this one, each with the way to it."""
    for key in _ONE:
        if key in schema:
            yield key, schema[key]
    for key in LISTS:
        yield from ((f"{key}/{at}", each) for at, each in enumerate(schema.get(key, [])))
    for key in MAPS:
        yield from ((f"{key}/{name}", each) for name, each in schema.get(key, {}).items())


def types_of(schema: Schema) -> set[str]:
    """Empty where it names none."""
    named = schema.get("type", [])
    return {named} if isinstance(named, str) else set(named)


def with_safe_lengths(schema: Any) -> Any:
    """A copy whose string lengths are patterns: xgrammar lets control characters into a string of limited length, and
    what holds them is not JSON."""
    if not isinstance(schema, Mapping):
        return schema
    safe = dict(schema)
    safe |= {key: with_safe_lengths(schema[key]) for key in _ONE if key in schema}
    safe |= {key: [with_safe_lengths(each) for each in schema[key]] for key in LISTS if key in schema}
    safe |= {
        key: {name: with_safe_lengths(each) for name, each in schema[key].items()} for key in MAPS if key in schema
    }
    least, most = int(schema.get("minLength", 0)), int(schema["maxLength"]) if "maxLength" in schema else ""
    if "string" in types_of(schema) and (least or most != ""):
        safe = {key: value for key, value in safe.items() if key not in ("minLength", "maxLength")}
        safe["pattern"] = rf"^[\s\S]{{{least},{most}}}$"
    return safe
