"""Tools, calls and results as a chat template reads them.

A template that renders tools gets them in OpenAI's shape. For one that does not, the turns themselves spell the tools
out and how to call them, as Hermes models do it; the parser "hermes" reads the calls. Every string of the client's
passes `plain` on its way in, at any depth: it may spell special tokens.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from fathom.core.generation import Message, Tool, ToolCall
from fathom.engine.tool_parsers import object_schema

Turn = dict[str, Any]
Plain = Callable[[str], str]

_INTRODUCTION = """\
You can call functions. These are the functions, one on each line:
<tools>
{tools}
</tools>
To call a function, write its name and arguments as JSON between <tool_call> tags, like this:
<tool_call>
{{"name": "function name", "arguments": {{"argument name": "value"}}}}
</tool_call>"""


class Arguments(dict[str, Any]):
    """A call's arguments for any template: some walk through them or dump them, some join them as text."""

    def __str__(self) -> str:
        return _dump(self)

    def __add__(self, text: str) -> str:
        return str(self) + text

    def __radd__(self, text: str) -> str:
        return text + str(self)


def knows_tools(template: str) -> bool:
    """Whether a chat template renders tools by itself: then it reads the variable of that name."""
    return re.search(r"\btools\b", template) is not None


def tool_variables(tools: Iterable[Tool], plain: Plain) -> list[dict[str, Any]]:
    """Tools for the template's variable `tools`. Every key is there: some templates ask for all of them."""
    return [{"type": "function", "function": _cleaned(_describe(tool), plain)} for tool in tools]


def call_names(messages: Iterable[Message]) -> dict[str, str]:
    """The names of all earlier calls by their ids, for `tool_fields`."""
    return {call.id: call.name for message in messages for call in message.tool_calls}


def tool_fields(message: Message, names: dict[str, str], plain: Plain) -> Turn:
    """What a turn says of tools, beside its role and content: an assistant's calls, or which call a result answers."""
    if message.tool_calls:
        return {"tool_calls": [_call(call, plain) for call in message.tool_calls]}
    if message.role == "tool" and message.tool_call_id is not None:
        name = names.get(message.tool_call_id, message.name or "")
        return {"tool_call_id": plain(message.tool_call_id), "name": plain(name)}
    return {}


def spell_out(turns: Sequence[Turn], tools: Sequence[dict[str, Any]], *, role_for_results: str = "user") -> list[Turn]:
    """The same turns without the template's help.

    `turns` have their `tool_fields`, and `tools` are `tool_variables`; all is plain already. Results that follow each
    other become one turn.
    """
    told = _introduced(turns, tools) if tools else turns
    return list(_spelled(told, role_for_results))


def _introduced(turns: Sequence[Turn], tools: Sequence[dict[str, Any]]) -> list[Turn]:
    text = _INTRODUCTION.format(tools="\n".join(_dump(tool["function"]) for tool in tools))
    if turns and turns[0]["role"] == "system":
        return [turns[0] | {"content": f"{turns[0]['content']}\n\n{text}"}, *turns[1:]]
    return [{"role": "system", "content": text}, *turns]


def _spelled(turns: Iterable[Turn], role_for_results: str) -> Iterator[Turn]:
    for is_result, run in groupby(turns, key=lambda turn: turn["role"] == "tool"):
        if is_result:
            results = "\n".join(f"<tool_response>\n{turn['content']}\n</tool_response>" for turn in run)
            yield {"role": role_for_results, "content": results}
        else:
            yield from map(_with_calls_as_text, run)


def _with_calls_as_text(turn: Turn) -> Turn:
    functions = [call["function"] for call in turn.get("tool_calls", ())]
    calls = [
        f'<tool_call>\n{{"name": {_dump(each["name"])}, "arguments": {each["arguments"]}}}\n</tool_call>'
        for each in functions
    ]
    content = "\n".join([turn["content"], *calls] if turn["content"] else calls) if calls else turn["content"]
    return {key: value for key, value in turn.items() if key != "tool_calls"} | {"content": content}


def _call(call: ToolCall, plain: Plain) -> dict[str, Any]:
    function = {"name": plain(call.name), "arguments": _arguments(call.arguments, plain)}
    return {"id": plain(call.id), "type": "function", "function": function}


def _arguments(text: str, plain: Plain) -> "Arguments | str":
    """What is no JSON object stays the text that it is: models write such, and clients send it back."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return plain(text)
    return Arguments(_cleaned(value, plain)) if isinstance(value, dict) else plain(text)


def _describe(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description or "", "parameters": object_schema(tool)}


def _cleaned(value: Any, plain: Plain) -> Any:
    match value:
        case str():
            return plain(value)
        case dict():
            return {plain(key): _cleaned(each, plain) for key, each in value.items()}
        case list() | tuple():
            return [_cleaned(each, plain) for each in value]
    return value


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
