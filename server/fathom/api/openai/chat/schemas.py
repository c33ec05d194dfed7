"""POST /v1/chat/completions: what a client may send. Names and bounds are OpenAI's, and beyond those what DeepSeek,
OpenRouter, DashScope and vLLM added."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from fathom.api.fields import Open, few_parts
from fathom.api.openai.controls import ReasoningFields
from fathom.api.openai.fields import INT64, UNSUPPORTED, Metadata, SamplingFields, UnsupportedSampling
from fathom.api.tool_use import MOST_TOOLS, NAME

_MOST_MESSAGES = 4096


def _as_parts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class Part(Open):
    """Text, or a refusal said back. Pictures, sound and files are refused by name."""

    type: str
    text: str | None = None
    refusal: str | None = None


class FunctionCall(Open):
    name: str
    arguments: str = ""


class CallOfTurn(Open):
    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(Open):
    """`reasoning_content` or `reasoning`: the trace of an earlier turn. `prefix`: continue this turn, the last one."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[Annotated[list[Part], Field(fail_fast=True)], BeforeValidator(_as_parts)] | None = None
    name: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[CallOfTurn] | None = Field(None, max_length=MOST_TOOLS, fail_fast=True)
    tool_call_id: str | None = None
    prefix: bool | None = None


class FunctionTool(Open):
    name: str = Field(pattern=NAME)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ChatTool(Open):
    type: Literal["function"]
    function: FunctionTool


class FunctionName(Open):
    name: str


class NamedTool(Open):
    type: Literal["function"] = "function"
    function: FunctionName


class AllowedTools(Open):
    mode: Literal["auto", "required"] = "auto"
    tools: list[NamedTool] = Field(min_length=1, max_length=MOST_TOOLS, fail_fast=True)


class ToolChoice(Open):
    """One function by name, or a part of the tools."""

    type: Literal["function", "allowed_tools"]
    function: FunctionName | None = None
    allowed_tools: AllowedTools | None = None


class Conversation(ReasoningFields):
    """Messages, and what decides how they become a prompt and whether the model thinks."""

    model: str
    messages: Annotated[
        Annotated[list[ChatMessage], Field(min_length=1, max_length=_MOST_MESSAGES, fail_fast=True)],
        BeforeValidator(few_parts),
    ]
    tools: list[ChatTool] | None = Field(None, max_length=MOST_TOOLS, fail_fast=True)
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None


class ChatRequest(Conversation, SamplingFields, UnsupportedSampling):
    max_completion_tokens: int | None = Field(None, ge=1, lt=INT64)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)

    service_tier: Literal["auto", "default", "flex", "priority", "scale"] | None = None
    metadata: Metadata | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prediction: dict[str, Any] | None = None
    modalities: Any = None
    verbosity: Any = None
    store: Any = None

    audio: Any = None
    web_search_options: Any = None
    functions: Any = None
    function_call: Any = None
    chat_template: Any = None
    documents: Any = None
    guided_json: Any = None
    guided_regex: Any = None
    guided_choice: Any = None
    guided_grammar: Any = None


REFUSED: dict[str, tuple[Any, ...]] = {
    **UNSUPPORTED,
    "modalities": (["text"],),
    "verbosity": ("medium",),
    "store": (False,),
    "audio": (),
    "web_search_options": (),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "chat_template": (),
    "documents": ([],),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": (),
    "guided_grammar": (),
}
"""Fields that this server knows and cannot honour, with the values that ask for nothing."""

INSTEAD = {
    "store": "this server keeps no chat completions",
    "verbosity": "these models have no such control; ask for it in a message",
    "functions": "it was replaced by tools",
    "function_call": "it was replaced by tool_choice",
    "chat_template": "templates are code, and come from the model alone",
    "guided_json": "it is called structured_outputs.json now",
    "guided_regex": "it is called structured_outputs.regex now",
    "guided_choice": "it is called structured_outputs.choice now",
    "guided_grammar": "it is called structured_outputs.grammar now",
}
"""Why not, and what to do, where there is more to say than that it cannot be done."""
