"""The tools of a request and how they may be used, to the canonical ToolUse."""

import json
from typing import Any, Literal

from fathom.api.anthropic.messages.schemas import ClientTool, PromptRequest
from fathom.api.fields import encodable
from fathom.api.tool_use import tool_use
from fathom.core.errors import BadRequest, Unsupported
from fathom.core.generation import Tool, ToolUse

_MODES: dict[str, Literal["none", "auto", "required"]] = {
    "none": "none",
    "auto": "auto",
    "any": "required",
    "tool": "required",
}


def used_tools(body: PromptRequest) -> ToolUse:
    """Raises BadRequest for what the schema cannot see."""
    tools = [_tool(tool, f"tools.{at}") for at, tool in enumerate(body.tools or [])]
    choice = body.tool_choice
    if choice is None:
        return tool_use(tools)
    only = [needed(choice.name, "tool_choice.name")] if choice.type == "tool" else None
    parallel = choice.type != "tool" and not choice.disable_parallel_tool_use
    return tool_use(tools, _MODES[choice.type], parallel, only=only)


def needed(value: str | None, where: str) -> str:
    """A text that has to be there."""
    if value is None:
        raise BadRequest(f"{where}: it is missing.", param=where)
    return encodable(value, where)


def json_text(value: dict[str, Any], where: str) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{where}: it cannot be written as JSON: {error}.", param=where) from None
    return encodable(text, where)


def _tool(tool: ClientTool, where: str) -> Tool:
    if tool.type not in (None, "custom"):
        raise Unsupported(
            f"{where}.type = {tool.type[:80]!r} is not supported: this server has no tools of its own. Send tools that "
            "the client runs, with their input_schema.",
            param=f"{where}.type",
        )
    if tool.defer_loading:
        raise _refused(f"{where}.defer_loading", "every tool is in the prompt")
    if set(tool.allowed_callers or ()) - {"direct"}:
        raise _refused(f"{where}.allowed_callers", "the model is the only caller")
    if tool.input_schema is None:
        raise BadRequest(f"{where}.input_schema: it is missing.", param=f"{where}.input_schema")
    name = needed(tool.name, f"{where}.name")
    return Tool(name, _description(tool, where), tool.input_schema, tool.strict is True)


def _refused(where: str, why: str) -> Unsupported:
    return Unsupported(f"{where} is not supported: {why}. Leave it out.", param=where)


def _description(tool: ClientTool, where: str) -> str | None:
    """With the examples of its input, which models have no other place for."""
    examples = [json_text(each, f"{where}.input_examples.{at}") for at, each in enumerate(tool.input_examples or [])]
    parts = [encodable(tool.description or "", f"{where}.description")]
    parts += ["Examples of its input:\n" + "\n".join(examples)] if examples else []
    return "\n\n".join(part for part in parts if part) or None
