"""Refuses, by name and place, what a JSON Schema says and xgrammar would not hold the model to.

xgrammar reads a schema leniently: what it does not know, or finds in a combination that it does not handle, it skips.
A client that was promised a schema would then get half of it. The rules were measured on xgrammar 0.2.8: they refuse
what it skips without a word. What it warns of, the grammar check refuses.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from fathom.core.errors import BadRequest, Unsupported
from fathom.engine.json_schema import LISTS, MAPS, Schema, inside, types_of

_MOST_REFS = 16
_TYPES = ("string", "number", "integer", "boolean", "null", "array", "object")
_NEVER = (
    *("not", "if", "then", "else", "contains", "minContains", "maxContains", "additionalItems"),
    *("dependentRequired", "dependentSchemas", "dependencies", "$dynamicRef", "$recursiveRef"),
)
_ALONE = ("$ref", "const", "enum", "anyOf", "oneOf", "allOf")
_BY_TYPE = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "unevaluatedItems"),
    "object": (
        *("properties", "required", "additionalProperties", "unevaluatedProperties"),
        *("patternProperties", "propertyNames", "minProperties", "maxProperties"),
    ),
}
_TYPED = {keyword: name for name, keywords in _BY_TYPE.items() for keyword in keywords}
_FORMATS = (
    *("email", "date", "time", "date-time", "duration", "ipv4", "ipv6", "hostname", "uuid", "uri", "uri-reference"),
    *("uri-template", "json-pointer", "relative-json-pointer"),
)
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_NUMBERS = (*_BOUNDS, "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_NOTES = ("password", "path", "file-path", "directory-path")  # formats that say nothing of the text


def check_schema(document: Any, param: str) -> None:
    """Raises BadRequest or Unsupported for the first thing in `document` that a grammar cannot keep."""
    place = "#"
    try:
        schemas: dict[int, tuple[str, Schema]] = {}
        left: list[tuple[str, Any]] = [("#", document)]
        while left:
            place, found = left.pop()
            if id(found) not in schemas:
                schema = _shaped(found)
                schemas[id(found)] = place, schema
                left += [(f"{place}/{step}", each) for step, each in inside(schema)]
                left += _referred(document, schema)
        for place, schema in schemas.values():
            for problem in _unenforced(document, schema):
                raise Unsupported(f"`{param}`: the schema at {place:.200} {problem}", param=param)
    except _Wrong as wrong:
        raise BadRequest(f"`{param}`: the schema at {place:.200} {wrong}.", param=param) from None


class _Wrong(Exception):
    """Not a valid schema; the text goes on from "the schema at #/..."."""


def _shaped(schema: Any) -> Schema:
    """The schema, where what the rules below look into has the right shape. true and false are schemas, too."""
    if isinstance(schema, bool):
        return {}
    if not isinstance(schema, Mapping):
        raise _Wrong("is not a JSON Schema: it must be an object, true or false")
    named = schema.get("type", "object")
    types = named if isinstance(named, list) else [named]
    if not types or not all(each in _TYPES for each in types):
        raise _Wrong(f"has the type {named!r:.100}; a type is one of {', '.join(_TYPES)}, or a list of them")
    for key in (*LISTS, "enum"):
        if key in schema and not (isinstance(schema[key], list) and schema[key]):
            raise _Wrong(f"has {key!r}, which must be a list with something in it")
    for key in MAPS:
        if not isinstance(schema.get(key, {}), Mapping):
            raise _Wrong(f"has {key!r}, which must be an object of schemas")
    for key in _NUMBERS:
        if not _is_a(schema.get(key, 0), "number"):
            raise _Wrong(f"has {key!r}, which must be a number")
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise _Wrong("has 'required', which must be a list of names")
    return schema


def _referred(document: Any, schema: Schema) -> Iterator[tuple[str, Any]]:
    """What `$ref` refers to, whatever place it has in the document."""
    passed: list[str] = []
    target: Any = schema
    while isinstance(target, Mapping) and "$ref" in target:
        ref = target["$ref"]
        if ref in passed:
            raise _Wrong(f"refers only to itself, through {ref!r}")
        passed.append(ref)
        if len(passed) > _MOST_REFS:
            raise _Wrong(f"goes through more than {_MOST_REFS} $ref in a row; refer to the last of them")
        target = _resolve(document, ref)
        yield ref, target


def _resolve(document: Any, ref: Any) -> Any:
    if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
        raise _Wrong(
            f"has the $ref {ref!r:.100}; only places in the same document are followed, such as '#/$defs/Name'"
        )
    if "~" in ref or "%" in ref:
        raise _Wrong(f"has the $ref {ref!r:.100}; escapes (~0, ~1, %20) are not followed, so rename what it refers to")
    found = document
    for step in ref.split("/")[1:]:
        if not isinstance(found, Mapping) or step not in found:
            raise _Wrong(f"has the $ref {ref!r:.100}, and the document has no such place")
        found = found[step]
    return found


def _unenforced(document: Any, schema: Schema) -> Iterator[str]:
    """What is wrong with this one schema, as the end of a sentence and how to mend it."""
    types = types_of(schema)
    yield from (f"uses {key!r}, which cannot be enforced. Remove it." for key in _NEVER if key in schema)
    yield from _beside(schema, types)
    yield from _untyped(schema)
    yield from _strings(schema, types)
    yield from _objects(schema)
    for key in _BOUNDS:
        if isinstance(bound := schema.get(key), float) and bound != round(bound, 6):
            yield f"has the {key!r} {bound!r}, and bounds are kept to six decimals. Round it."
    if schema.get("uniqueItems"):
        yield "uses 'uniqueItems', which cannot be enforced. Remove it."
    if "oneOf" in schema and not _distinct([_follow(document, each) for each in schema["oneOf"]]):
        yield (
            "has a 'oneOf' whose branches may overlap, and only one may match. Use 'anyOf', or give each branch a "
            "required property with a 'const' of its own."
        )


def _beside(schema: Schema, types: set[str]) -> Iterator[str]:
    """`$ref`, `enum` and their kin are read alone."""
    alone = [key for key in _ALONE if key in schema]
    if not alone:
        return
    others = [key for key in schema if key in (*_ALONE, *_TYPED, "type") and key != alone[0]]
    if alone[0] in ("const", "enum") and others == ["type"]:
        values = [schema["const"]] if alone[0] == "const" else schema["enum"]
        others = [] if all(any(_is_a(value, name) for name in types) for value in values) else others
    if others:
        named = ", ".join(map(repr, others))
        yield f"has {named} beside {alone[0]!r}, and only one of the two would be kept. Say it in one schema."


def _is_a(value: Any, name: str) -> bool:
    match name:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "integer" | "number":
            whole = isinstance(value, int) or (isinstance(value, float) and (name == "number" or value.is_integer()))
            return whole and not isinstance(value, bool)
    return isinstance(value, {"string": str, "array": list, "object": Mapping}[name])


def _untyped(schema: Schema) -> Iterator[str]:
    if "type" not in schema and not any(key in schema for key in _ALONE):
        for key in schema:
            if key in _TYPED:
                yield f'uses {key!r} without a \'type\'. Add "type": "{_TYPED[key]}".'


def _strings(schema: Schema, types: set[str]) -> Iterator[str]:
    if "string" not in types:
        return
    if "format" in schema and schema["format"] not in (*_FORMATS, *_NOTES):
        known = ", ".join(_FORMATS)
        yield f"has the format {schema['format']!r:.100}, which cannot be enforced. Use a 'pattern' or one of {known}."
    if "format" in schema and "pattern" in schema:
        yield "has a 'format' beside its 'pattern', and only one of the two would be kept. Keep the pattern."
    if _has_two_measures(schema):
        yield "has a length beside its 'pattern' or 'format'. Say the length in the pattern, such as '^[a-z]{2,8}$'."


def _has_two_measures(schema: Schema) -> bool:
    return ("pattern" in schema or "format" in schema) and ("minLength" in schema or "maxLength" in schema)


def _objects(schema: Schema) -> Iterator[str]:
    properties = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in properties:
            yield f"requires {name!r:.100}, which its 'properties' do not have. Describe it there."
    patterns, names = schema.get("patternProperties", {}), schema.get("propertyNames")
    if schema.get("minProperties", 0) > 1 and (patterns or names is not None or schema.get("additionalProperties")):
        yield "has 'minProperties' beside names that are free, and one name may come twice. Name the properties."
    if len(patterns) > 1 or (patterns and properties):
        yield "has 'patternProperties' beside other properties. Keep one pattern alone, or name every property."
    others = any(schema.get(key, True) is not True for key in ("additionalProperties", "unevaluatedProperties"))
    if names is not None and (patterns or properties or others):
        yield "has 'propertyNames' beside other words on its properties. Keep one of them."
    if isinstance(names, Mapping) and _has_two_measures(names):
        yield "has 'propertyNames' with a length beside its pattern. Say the length in the pattern."


def _follow(document: Any, schema: Any) -> Any:
    for _ in range(_MOST_REFS + 1):  # whoever refers on and on was refused before
        if not isinstance(schema, Mapping) or "$ref" not in schema:
            break
        schema = _resolve(document, schema["$ref"])
    return schema


def _distinct(branches: list[Any]) -> bool:
    """No value matches two of them: their types differ, or a property that all require has a constant of its own."""
    if not all(isinstance(branch, Mapping) for branch in branches):
        return len(branches) == 1
    types = [types_of(branch) for branch in branches]
    if all(types) and _disjoint([each | {"integer"} if "number" in each else each for each in types]):
        return True
    required = set.intersection(*(set(branch.get("required", [])) for branch in branches))
    return any(_disjoint([_constants(branch, name) for branch in branches]) for name in required)


def _constants(branch: Schema, name: str) -> set[str]:
    """The strings that the property may be; none if it may be anything else."""
    schema = branch.get("properties", {}).get(name)
    if not isinstance(schema, Mapping):
        return set()
    values = [schema["const"]] if "const" in schema else schema.get("enum", [])
    return set(values) if all(isinstance(value, str) for value in values) else set()


def _disjoint(sets: list[set[str]]) -> bool:
    return all(sets) and len(set.union(*sets)) == sum(map(len, sets))
