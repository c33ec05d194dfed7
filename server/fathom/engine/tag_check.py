"""Reads a client's own structural tag: xgrammar's formats, with the same limits inside as outside."""

from collections.abc import Iterator, Mapping
from typing import Any

from fathom.core.errors import BadRequest
from fathom.engine.json_schema import with_safe_lengths
from fathom.engine.schema_check import check_schema

Format = dict[str, Any]

_TAGS = ("tags", "at_least_one", "stop_after_first")
_FORMATS: dict[str, tuple[str, ...]] = {
    "const_string": ("value",),
    "json_schema": ("json_schema", "style", "any_order", "max_whitespace_cnt", "excludes"),
    "any_text": ("excludes", "max_tokens", "max_chars"),
    "token": ("token",),
    "exclude_token": ("exclude_tokens",),
    "any_tokens": ("exclude_tokens", "max_tokens"),
    "grammar": ("grammar",),
    "regex": ("pattern",),
    "sequence": ("elements",),
    "or": ("elements",),
    "tag": ("begin", "content", "end"),
    "triggered_tags": (*_TAGS, "triggers", "excludes"),
    "token_triggered_tags": (*_TAGS, "trigger_tokens", "exclude_tokens"),
    "tags_with_separator": (*_TAGS, "separator"),
    "optional": ("content",),
    "plus": ("content",),
    "star": ("content",),
    "repeat": ("min", "max", "content"),
    "dispatch": ("rules", "loop", "excludes"),
    "token_dispatch": ("rules", "loop", "exclude_tokens"),
}


def read_tag(tag: Mapping[str, Any], param: str) -> Format:
    """The tag's format. The older shape, with "structures" and "triggers", becomes triggered tags."""
    if "structures" in tag:
        return _triggered(tag, param)
    if tag.get("type", "structural_tag") != "structural_tag" or not isinstance(tag.get("format"), dict):
        raise BadRequest(
            f"`{param}` is not a structural tag: it must be an object with a `format`, or with `structures` and "
            "`triggers`.",
            param=param,
        )
    return dict(tag["format"])


def check_format(outermost: Format, param: str) -> None:
    """Raises BadRequest or Unsupported for a format or a field that is not known, or a schema that cannot be kept."""
    left: list[tuple[str, Any]] = [("format", outermost)]
    while left:
        place, found = left.pop()
        name = found.get("type") if isinstance(found, dict) else None
        if not isinstance(name, str) or name not in _FORMATS:
            known = ", ".join(_FORMATS)
            raise BadRequest(f"`{param}`: {place:.200} must be an object whose `type` is one of {known}.", param=param)
        for field in found:
            if field not in ("type", *_FORMATS[name]):
                raise BadRequest(
                    f"`{param}`: {place:.200} is a {name}, which has no field {field!r:.100}.", param=param
                )
        if name == "json_schema":
            check_schema(found.get("json_schema"), f"{param}.{place:.200}.json_schema")
        left.extend((f"{place}.{step}", each) for step, each in _inside(found))


def _triggered(tag: Mapping[str, Any], param: str) -> Format:
    structures, triggers = tag["structures"], tag.get("triggers")
    fields = {"begin", "schema", "end"}
    whole = isinstance(structures, list) and all(isinstance(each, dict) and set(each) == fields for each in structures)
    if not whole or not structures or not isinstance(triggers, list) or not triggers:
        raise BadRequest(
            f"`{param}` needs `structures`, a list of objects with `begin`, `schema` and `end`, and `triggers`, a list "
            "of strings.",
            param=param,
        )
    tags = [
        {"type": "tag", "begin": each["begin"], "content": json_format(each["schema"]), "end": each["end"]}
        for each in structures
    ]
    return {"type": "triggered_tags", "triggers": triggers, "tags": tags}


def json_format(schema: Any) -> Format:
    """White space is limited: a small model otherwise writes it for ever."""
    return {"type": "json_schema", "json_schema": schema, "max_whitespace_cnt": 1}


def safe(value: Any) -> Any:
    """A copy of a checked format, in which every schema can only give JSON."""
    if isinstance(value, list):
        return [safe(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "json_schema":
        return value | {"json_schema": with_safe_lengths(value["json_schema"])}
    return {key: safe(each) for key, each in value.items()}


def _inside(found: Format) -> Iterator[tuple[str, Any]]:
    for key in ("begin", "end"):
        if isinstance(found.get(key), dict):
            yield key, found[key]
    if "content" in found:
        yield "content", found["content"]
    for key in ("elements", "tags"):
        each_of = found.get(key, [])
        yield from (
            (f"{key}[{at}]", each) for at, each in enumerate(each_of if isinstance(each_of, list) else [each_of])
        )
    for at, rule in enumerate(found.get("rules", [])):
        yield f"rules[{at}]", rule[1] if isinstance(rule, list) and len(rule) == 2 else None
