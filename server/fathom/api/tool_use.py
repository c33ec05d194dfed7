"""The tools of a request and how it says they may be used, in any dialect, to the canonical ToolUse."""

from collections.abc import Sequence
from typing import Literal

from fathom.core.errors import BadRequest
from fathom.core.generation import Tool, ToolUse

MOST_TOOLS = 128
NAME = r"^[A-Za-z0-9_.-]{1,64}$"
"""Of a tool, as all dialects have it."""


def tool_use(
    tools: Sequence[Tool],
    mode: Literal["none", "auto", "required"] = "auto",
    parallel: bool = True,
    *,
    only: Sequence[str] | None = None,
    param: str = "tool_choice",
    names_param: str = "tools.{at}.name",
) -> ToolUse:
    """only: the names of the tools that may be called; None is all. param, names_param: the fields to name in errors.

    Raises BadRequest for two tools of one name, and for a choice that the tools cannot satisfy.
    """
    names = [tool.name for tool in tools]
    for at, name in enumerate(names):
        if name in names[:at]:
            raise BadRequest(f"There are two tools named {name!r}.", param=names_param.format(at=at))
    if not tools:
        if mode == "required" or only is not None:
            raise BadRequest(f"{param} asks for a call, and there are no tools. Send tools.", param=param)
        return ToolUse()
    return ToolUse(tuple(tools if only is None else _named(only, tools, param)), mode, parallel)


def _named(names: Sequence[str], tools: Sequence[Tool], param: str) -> list[Tool]:
    known = {tool.name: tool for tool in tools}
    for name in names:
        if name not in known:
            raise BadRequest(f"{param} names {name[:80]!r}, and the tools are: {', '.join(known)[:300]}.", param=param)
    return [known[name] for name in names]
