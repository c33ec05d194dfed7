"""Makes a model call: the grammar (an xgrammar structural tag) of an answer that is tool calls, and who reads it.

Each family's own syntax is used where vLLM knows it as a grammar, so that the model writes what it was trained on.
Elsewhere a call is written as Hermes models do, and read by their parser.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from vllm.tool_parsers import ToolParserManager
from vllm.tool_parsers.structural_tag_registry import get_model_structural_tag

from fathom.core.generation import Tool
from fathom.engine.brief_schema import brief
from fathom.engine.tool_parsers import object_schema, tool_params

Mode = Literal["none", "auto", "required"]

FALLBACK = "hermes"

_NO_GRAMMAR = frozenset({"harmony", "kimi_k3", "hy_v4"})  # begin with the trace or an answer, or leave arguments free
_LOOSE = frozenset({"glm_4_7", "mimo", "minimax", "qwen_3_coder"})
"""Arguments as XML: a blank that the grammar allows around a value gets into the value, against the schema."""

_SEPARATORS = {"llama": "; "}
_MOST_BLANKS = 1  # in a row, between the parts of JSON: small models fill pages with white space where they may


def grammar_parser(parser: str, mode: Mode) -> str:
    """The name of the parser that reads what the model writes under `call_body`; `parser` is the family's own."""
    return FALLBACK if mode == "required" and _syntax(parser, mode) is None else parser


def call_body(
    parser: str, tools: Sequence[Tool], mode: Mode, parallel: bool, *, short: bool = False
) -> dict[str, Any] | None:
    """The `format` of a structural tag, or None where the model is free.

    "required": at least one call of any of the tools and nothing else, its arguments by the tool's schema.
    "auto": text, or calls in which the arguments of strict tools follow their schema; None where no tool is strict, or
    the family's syntax is not known as a grammar. `short`: strings and arrays that a schema leaves open are bounded.
    """
    if not tools or mode == "none":
        return None
    syntax = _syntax(parser, mode)
    if mode == "auto" and (syntax is None or not any(tool.strict for tool in tools)):
        return None
    if short:
        tools = [
            replace(tool, parameters=tool.parameters and brief(tool.parameters))
            if tool.strict or mode == "required"
            else tool
            for tool in tools
        ]
    if mode == "required":
        tools, syntax = [replace(tool, strict=True) for tool in tools], syntax or FALLBACK
    assert syntax is not None, "free models have left"
    tag = get_model_structural_tag(syntax, tool_params(tools), mode, reasoning=False)
    assert tag is not None
    body: dict[str, Any] = _settle(tag.format.model_dump(), _SEPARATORS.get(syntax, "\n"), parallel)
    return body


def harmony_calls(tools: Sequence[Tool]) -> dict[str, Any]:
    """One call as gpt-oss writes it, behind the message of its trace. It makes one call a turn."""
    calls = [
        {
            "type": "tag",
            "begin": f"<|start|>assistant<|channel|>commentary to=functions.{tool.name} <|constrain|>json<|message|>",
            "content": {
                "type": "json_schema",
                "json_schema": object_schema(tool),
                "max_whitespace_cnt": _MOST_BLANKS,
            },
            "end": "",
        }
        for tool in tools
    ]
    return {"type": "or", "elements": calls}


def _syntax(parser: str, mode: Mode) -> str | None:
    model: str | None = ToolParserManager.get_tool_parser(parser).structural_tag_model
    unfit = _NO_GRAMMAR | _LOOSE if mode == "required" else _NO_GRAMMAR
    return None if model in unfit else model


def _settle(node: Any, separator: str, parallel: bool) -> Any:
    """The grammar, with blanks in JSON bounded, no text around required calls, and only one of them if so wished."""
    match node:
        case {"type": "json_schema"}:  # what is in it is the client's
            return node | {"max_whitespace_cnt": _MOST_BLANKS}
        case {"type": "triggered_tags", "at_least_one": True, "tags": tags}:
            calls = {"type": "tags_with_separator", "tags": tags, "separator": separator, "at_least_one": True}
            return _settle(calls, separator, parallel)
        case {"type": "triggered_tags" | "tags_with_separator", "tags": tags}:
            settled = _settle(tags, separator, parallel)
            return node | {"tags": settled, "stop_after_first": not parallel or node.get("stop_after_first", False)}
        case dict():
            return {key: _settle(value, separator, parallel) for key, value in node.items()}
        case list():
            return [_settle(each, separator, parallel) for each in node]
    return node
