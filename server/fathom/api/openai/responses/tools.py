"""The tools of a response: to the canonical ToolUse, and as its body says them back."""

from typing import Any

from fathom.api.openai.responses.schemas import NamedTool, PromptRequest, Tool, ToolChoice
from fathom.api.tool_use import tool_use
from fathom.core import generation
from fathom.core.errors import BadRequest, Unsupported
from fathom.core.generation import ToolUse

Json = dict[str, Any]


def tools_of(body: PromptRequest) -> ToolUse:
    """Raises BadRequest for what the schema cannot see, Unsupported for tools that a server would run."""
    tools = [_tool(tool, f"tools.{at}") for at, tool in enumerate(body.tools or [])]
    choice, parallel = body.tool_choice, body.parallel_tool_calls is not False
    match choice:
        case ToolChoice(type="function"):
            return tool_use(tools, "required", False, only=[_named(choice, "tool_choice")])
        case ToolChoice(type="allowed_tools", tools=list(allowed)):
            only = [_named(tool, f"tool_choice.tools.{at}") for at, tool in enumerate(allowed)]
            return tool_use(tools, choice.mode, parallel, only=only)
        case ToolChoice(type="allowed_tools"):
            raise BadRequest("A tool_choice of type allowed_tools needs tools.", param="tool_choice.tools")
        case ToolChoice():
            raise _no_function(choice.type, "tool_choice")
    return tool_use(tools, choice or "auto", parallel)


def echo_tools(body: PromptRequest) -> list[Json]:
    return [
        {
            "type": "function",
            "name": tool.name,
            **({"description": tool.description} if tool.description is not None else {}),
            "parameters": tool.parameters,
            "strict": tool.strict is True,
        }
        for tool in body.tools or []
    ]


def echo_choice(body: PromptRequest) -> str | Json:
    match body.tool_choice:
        case ToolChoice(type="function", name=name):
            return {"type": "function", "name": name}
        case ToolChoice(mode=mode, tools=tools):
            named = [{"type": "function", "name": tool.name} for tool in tools or []]
            return {"type": "allowed_tools", "mode": mode, "tools": named}
        case word:
            return word or "auto"


def _tool(tool: Tool, where: str) -> generation.Tool:
    return generation.Tool(_named(tool, where), tool.description, tool.parameters, tool.strict is True)


def _named(tool: Tool | NamedTool | ToolChoice, where: str) -> str:
    if tool.type != "function":
        raise _no_function(tool.type, where)
    if tool.name is None:
        raise BadRequest(f"{where}: a function needs a name.", param=f"{where}.name")
    return tool.name


def _no_function(kind: str, where: str) -> Unsupported:
    return Unsupported(
        f"{where}: this server runs no tools, and so knows none of type {kind[:40]!r}. Functions are what it takes.",
        param=f"{where}.type",
    )
