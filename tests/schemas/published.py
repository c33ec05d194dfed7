"""Validation against openai.json, in words that say where a body is wrong."""

import json
import re
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

Json = dict[str, Any]


def validate(name: str, body: Any, nullable: Collection[str], where: str = "") -> None:
    """`body` is the schema `name`, and null only at the paths `nullable`; a field without a value is left out."""
    error = best_match(_validator(name).iter_errors(body))
    assert error is None, f"{_joined(where, error.json_path.removeprefix('$')) or 'body'}: {error.message}"
    for path in _nulls(body):
        found = re.sub(r"\[\d+\]", "", path)
        assert found in nullable, f"{_joined(where, path)}: null; a field without a value is left out"


def numbered(values: list[Any], path: str) -> Iterator[tuple[str, Any]]:
    """Each value with its own path."""
    return ((f"{path}[{number}]", each) for number, each in enumerate(values))


def branches(union: str) -> dict[str, str]:
    """The schemas of a union by the `type` that they ask for."""
    names = [branch["$ref"].rpartition("/")[2] for branch in _facts()[union]["anyOf"]]
    return {_facts()[name]["properties"]["type"]["enum"][0]: name for name in names}


@cache
def _facts() -> Json:
    definitions: Json = json.loads(Path(__file__).with_name("openai.json").read_text())["$defs"]
    return definitions


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": _facts()})


def _joined(where: str, path: str) -> str:
    return f"{where}.{path.lstrip('.')}".strip(".").replace(".[", "[")


def _nulls(value: Any, path: str = "") -> Iterator[str]:
    if value is None:
        yield path
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _nulls(each, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for inner, each in numbered(value, path):
            yield from _nulls(each, inner)
