"""Patterns, schemas, grammars and tags that take long, take much, or mean nothing."""

from collections.abc import Iterator
from typing import Any

from tests.hostile.limits import CHAT, COMPLETIONS, MESSAGES, RESPONSES
from tests.hostile.runner import ANY, BAD, Case, fields
from tests.hostile.target import Target

Json = dict[str, Any]

PATTERNS = (
    *("(a+)+b", "(a|a)*b", "(.*)*x", "(a?){40}a{40}", "(x+x+)+y", "^(([a-z])+.)+[A-Z]([a-z])+$", ".*.*.*.*.*=.*"),
    *(
        "a{1,100000}",
        "((a{1,1000}){1,1000}){1,1000}",
        "[\\s\\S]{0,99999}",
        "(a|b|c){5000}",
        "((((((((a*)*)*)*)*)*)*)*)*",
    ),
    *(
        "(",
        ")",
        "[",
        "a{",
        "a{2,1}",
        "*",
        "\\",
        "(?=x)y",
        "(?<!x)y",
        "(a)\\1",
        "(?P<n>a)",
        "\\p{L}+",
        "\\u{110000}",
        "[z-a]",
    ),
    *(" ", "a|" * 5000, "(" * 2000 + ")" * 2000, "[" + "\\d" * 10_000 + "]", "\ud7ff\ue000", "\x00", "$^", "\\Q\\E"),
)
GRAMMARS = (
    *('root ::= root "a"', "root ::= root", "root ::= other", 'a ::= "b"', "root ::=", "::=", "{{ 1 }}", " "),
    *('root ::= a a a a a a a a\na ::= root | "x"', 'root ::= "' + "x" * 60_000 + '"', 'root ::= ("a"*)*'),
    *("\n".join(f"r{at} ::= r{at + 1} r{at + 1}" for at in range(30)) + '\nr30 ::= "x"\nroot ::= r0', 'start: "a"'),
)
SCHEMAS: tuple[Any, ...] = (
    *({"type": "string", "pattern": each} for each in ("(a+)+b", "(", "a{1,100000}", "((a{1,99}){1,99}){1,99}")),
    *({"type": "string", "minLength": each} for each in (2**63, 10**300, 1e308, -1, 0.5, "1", None, True, 100_000)),
    *({"type": "array", "items": {}, "minItems": each} for each in (10**9, -1, 1e308, 10_000)),
    *({"type": "integer", "minimum": each} for each in (-(10**300), 1e308, 2**63, "0")),
    *({"type": each} for each in ("x", [], [[]], None, 5, {"a": 1}, ["string"] * 1000)),
    *({"$ref": each} for each in ("#", "#/x", "http://127.0.0.1:9/x", "file:///etc/passwd", "", 5, "#/$defs/a")),
    *({"enum": each} for each in ([], [1e308], [{}], ["x" * 10_000] * 6, list(range(10_000)), "x")),
    *({key: {}} for key in ("not", "if", "contains", "$dynamicRef", "dependentSchemas", "unevaluatedItems")),
    {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    {"type": "object", "properties": {str(at): {"type": "string"} for at in range(1500)}},
    {"type": "object", "properties": {"x" * 60_000: {}}},
    {"type": "object", "patternProperties": {"(a+)+b": {}}},
    {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]},
    {"anyOf": [{"type": "object", "properties": {f"p{at}": {"type": "string"}}} for at in range(800)]},
    {"allOf": [{"anyOf": [{"type": "string"}, {"type": "integer"}]}] * 12},
    {"oneOf": [{"const": at} for at in range(3000)]},
    *(True, False, [], 5, "", "{", "{}", "[" * 100_000, '{"type": "string"}', "\x00"),
)


def _nested(levels: int) -> Json:
    return {"type": "object", "properties": {"a": _nested(levels - 1)}, "required": ["a"]} if levels else {}


TAGS: tuple[Any, ...] = (
    *(
        {},
        {"type": "structural_tag"},
        {"format": 5},
        {"format": {"type": "x"}},
        {"format": {"type": "token", "token": 10**9}},
    ),
    *({"format": {"type": "token", "token": each}} for each in (-1, "<|im_start|>", "no such token", None)),
    *({"format": {"type": "repeat", "min": low, "max": 10**9, "content": {"type": "any_text"}}} for low in (0, 10**9)),
    {"format": {"type": "sequence", "elements": []}},
    {"format": {"type": "regex", "pattern": "(a+)+b"}},
    {"structures": [{"begin": "<", "schema": {"pattern": "(a+)+b"}, "end": ">"}], "triggers": ["x"]},
)


def cases(target: Target) -> Iterator[Case]:
    def chat(name: str, **structured: Any) -> Case:
        return fields(
            target, CHAT, f"{name}: {next(iter(structured.values()))!r:.50}", ANY, structured_outputs=structured
        )

    yield from (chat("pattern", regex=each) for each in PATTERNS)
    yield from (chat("grammar", grammar=each) for each in GRAMMARS)
    yield from (chat("schema", json=each) for each in SCHEMAS)
    yield from (chat("tag", structural_tag=each) for each in TAGS)
    yield from (
        chat("choice", choice=each) for each in (["x"] * 1000, ["x"] * 1001, ["x" * 60_000], ["\x00"], ["</think>"])
    )
    yield chat("depth", json=_nested(70))
    for path, name in ((CHAT, "response_format"), (RESPONSES, "text"), (MESSAGES, "output_config")):
        for schema in SCHEMAS[:4]:
            yield fields(target, path, f"{name}: {schema!r:.50}", ANY, **{name: _asked(path, schema)})
    tool = {"type": "function", "function": {"name": "f", "strict": True, "parameters": SCHEMAS[0]}}
    yield fields(target, CHAT, "a tool", ANY, tools=[tool], tool_choice="required")
    yield fields(target, COMPLETIONS, "a completion", ANY, structured_outputs={"regex": "(a+)+b"})
    yield fields(target, CHAT, "two of them", BAD, structured_outputs={"regex": "a", "grammar": 'root ::= "a"'})


def unique(target: Target, number: int) -> Iterator[Case]:
    """Good ones, none of which was seen before."""
    good = frozenset({200})
    for at in range(number):
        schema = {"type": "object", "properties": {f"name{at}": {"enum": [at]}}, "required": [f"name{at}"]}
        yield fields(target, CHAT, f"schema {at}", good, structured_outputs={"json": schema})


def _asked(path: str, schema: Any) -> Json:
    if path == CHAT:
        return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    if path == RESPONSES:
        return {"format": {"type": "json_schema", "name": "x", "schema": schema}}
    return {"format": {"type": "json_schema", "schema": schema}}
