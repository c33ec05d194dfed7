"""A chat request's messages and tools to the canonical prompt."""

from fathom.api.fields import encodable
from fathom.api.openai.chat.schemas import ChatMessage, ChatTool, Conversation, Part, ToolChoice
from fathom.api.openai.controls import template_variables
from fathom.api.tool_use import tool_use
from fathom.core.errors import BadRequest, Unsupported
from fathom.core.generation import Chat, Message, Tool, ToolCall, ToolUse


def chat_prompt(body: Conversation) -> Chat:
    """Raises BadRequest for what the schema cannot see."""
    continues = _continues(body)
    return Chat(
        messages=tuple(_message(message, at) for at, message in enumerate(body.messages)),
        tools=_tool_use(body),
        continues=continues,
        generates=continues or body.add_generation_prompt is not False,
        variables=template_variables(body),
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
    choice, parallel = body.tool_choice, body.parallel_tool_calls is not False
    names_param = "tools.{at}.function.name"
    match choice:
        case ToolChoice(type="function", function=function) if function:
            return tool_use(tools, "required", False, only=[function.name], names_param=names_param)
        case ToolChoice(type="allowed_tools", allowed_tools=allowed) if allowed:
            only = [each.function.name for each in allowed.tools]
            return tool_use(tools, allowed.mode, parallel, only=only, names_param=names_param)
        case ToolChoice():
            raise BadRequest(
                f"A tool_choice of type {choice.type} needs {choice.type}.", param=f"tool_choice.{choice.type}"
            )
    return tool_use(tools, choice or "auto", parallel, names_param=names_param)


def _tool(tool: ChatTool) -> Tool:
    function = tool.function
    return Tool(function.name, function.description, function.parameters, function.strict is True)
