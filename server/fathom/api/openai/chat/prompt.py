"""A chat request's messages and tools to the canonical prompt."""

from typing import Any

from fathom.api.openai.chat.schemas import ChatMessage, ChatTool, Conversation, Part, ToolChoice
from fathom.api.openai.fields import encodable
from fathom.core.errors import BadRequest, Unsupported
from fathom.core.generation import Chat, Message, Tool, ToolCall, ToolUse

_SWITCHES = {"thinking", "enable_thinking", "reasoning_effort"}
_RESERVED = {
    *("messages", "tools", "documents", "chat_template", "add_generation_prompt", "continue_final_message"),
    *("self", "conversation", "tokenize", "padding", "truncation", "max_length", "return_tensors", "return_dict"),
    *("return_assistant_tokens_mask", "tokenizer_kwargs", "processor_kwargs"),
    *("bos_token", "eos_token", "unk_token", "pad_token"),
}


def chat_prompt(body: Conversation) -> Chat:
    """Raises BadRequest for what the schema cannot see."""
    continues = _continues(body)
    return Chat(
        messages=tuple(_message(message, at) for at, message in enumerate(body.messages)),
        tools=_tool_use(body),
        continues=continues,
        generates=continues or body.add_generation_prompt is not False,
        variables=_variables(body.chat_template_kwargs or {}),
    )


def _continues(body: Conversation) -> bool:
    for at, message in enumerate(body.messages[:-1]):
        if message.prefix:
            raise BadRequest("Only the last message can be continued.", param=f"messages.{at}.prefix")
    last = body.messages[-1]
    asked = "continue_final_message" if body.continue_final_message else f"messages.{len(body.messages) - 1}.prefix"
    continues = bool(body.continue_final_message or last.prefix)
    if continues and last.role != "assistant":
        raise BadRequest(
            f"Only an assistant's message can be continued, and the last one is of role {last.role}.", param=asked
        )
    if continues and last.tool_calls:
        raise BadRequest("A message with tool calls is complete and cannot be continued.", param=asked)
    return continues


def _message(message: ChatMessage, at: int) -> Message:
    where = f"messages.{at}"
    if message.content is None and message.role != "assistant":
        raise BadRequest(f"A {message.role} message needs content.", param=f"{where}.content")
    if message.role == "tool" and not message.tool_call_id:
        raise BadRequest("A tool message needs the tool_call_id of the call it answers.", param=f"{where}.tool_call_id")
    if message.tool_calls and message.role != "assistant":
        raise BadRequest(f"A {message.role} message cannot call tools.", param=f"{where}.tool_calls")
    parts = [_text(part, f"{where}.content.{k}") for k, part in enumerate(message.content or [])]
    trace = message.reasoning_content if message.reasoning_content is not None else message.reasoning
    return Message(
        message.role,
        encodable("".join(parts), f"{where}.content") or encodable(message.refusal or "", f"{where}.refusal"),
        encodable(message.name, f"{where}.name") if message.name else None,
        None if trace is None else encodable(trace, f"{where}.reasoning_content"),
        tuple(
            ToolCall(
                encodable(call.id, f"{where}.tool_calls.{k}.id"),
                encodable(call.function.name, f"{where}.tool_calls.{k}.function.name"),
                encodable(call.function.arguments, f"{where}.tool_calls.{k}.function.arguments"),
            )
            for k, call in enumerate(message.tool_calls or [])
        ),
        encodable(message.tool_call_id, f"{where}.tool_call_id") if message.tool_call_id else None,
    )


def _text(part: Part, where: str) -> str:
    match part.type:
        case "text" if part.text is not None:
            return part.text
        case "refusal" if part.refusal is not None:
            return part.refusal
        case "text" | "refusal":
            raise BadRequest(f"{where}: a {part.type} part needs the field {part.type}.", param=where)
        case kind:
            raise Unsupported(f"{where}: this model reads text, and no {kind[:40]!r} part. Leave it out.", param=where)


def _tool_use(body: Conversation) -> ToolUse:
    tools = [_tool(tool) for tool in body.tools or []]
    names = [tool.name for tool in tools]
    for at, name in enumerate(names):
        if name in names[:at]:
            raise BadRequest(f"There are two tools named {name!r}.", param=f"tools.{at}.function.name")
    choice, parallel = body.tool_choice, body.parallel_tool_calls is not False
    if not tools:
        if choice not in (None, "none", "auto"):
            raise BadRequest("tool_choice asks for a call, and there are no tools. Send tools.", param="tool_choice")
        return ToolUse()
    if isinstance(choice, ToolChoice):
        return _narrowed(choice, tools, parallel)
    return ToolUse(tuple(tools), choice or "auto", parallel)


def _tool(tool: ChatTool) -> Tool:
    function = tool.function
    return Tool(function.name, function.description, function.parameters, function.strict is True)


def _narrowed(choice: ToolChoice, tools: list[Tool], parallel: bool) -> ToolUse:
    match choice:
        case ToolChoice(type="function", function=function) if function:
            return ToolUse(_named([function.name], tools), "required", False)
        case ToolChoice(type="allowed_tools", allowed_tools=allowed) if allowed:
            return ToolUse(_named([each.function.name for each in allowed.tools], tools), allowed.mode, parallel)
    raise BadRequest(f"A tool_choice of type {choice.type} needs {choice.type}.", param=f"tool_choice.{choice.type}")


def _named(names: list[str], tools: list[Tool]) -> tuple[Tool, ...]:
    known = {tool.name: tool for tool in tools}
    for name in names:
        if name not in known:
            raise BadRequest(
                f"tool_choice names {name[:80]!r}, and the tools are: {', '.join(known)[:300]}.", param="tool_choice"
            )
    return tuple(known[name] for name in names)


def _variables(given: dict[str, Any]) -> dict[str, Any]:
    """What is left for the chat template once its switches for thinking are taken out."""
    variables = {name: value for name, value in given.items() if name not in _SWITCHES}
    for name, value in variables.items():
        where = f"chat_template_kwargs.{name[:60]}"
        if name in _RESERVED or not name.isidentifier():
            raise BadRequest(f"{where} cannot be set: it is not the client's to choose.", param=where)
        if value is not None and not isinstance(value, str | int | float | bool):
            raise BadRequest(f"{where} must be a string, a number or a boolean.", param=where)
        if isinstance(value, str):
            encodable(value, where)
    return variables
