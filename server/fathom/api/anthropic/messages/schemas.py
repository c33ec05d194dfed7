"""POST /v1/messages and /v1/messages/count_tokens: what a client may send. Names are Anthropic's."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from fathom.api.fields import MOST_PARTS, Open, few_parts

_INT64 = 2**63
_MOST_MESSAGES = 4096
_MOST_TOOLS = 128
MOST_STOPS = 64


def _as_blocks(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class Part(Open):
    """Of a tool's result. What is no text is refused by name."""

    type: str
    text: str | None = None
    cache_control: Any = None
    citations: Any = None


class Block(Part):
    """A part of a message. Which fields it has depends on its type: text, thinking, redacted_thinking, tool_use or
    tool_result."""

    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    caller: Any = None
    toolset_name: str | None = None
    tool_use_id: str | None = None
    content: Annotated[Annotated[list[Part], Field(fail_fast=True)], BeforeValidator(_as_blocks)] | None = None
    is_error: bool | None = None


Blocks = Annotated[Annotated[list[Block], Field(max_length=MOST_PARTS, fail_fast=True)], BeforeValidator(_as_blocks)]


class Turn(Open):
    role: Literal["user", "assistant", "system"]
    content: Blocks


class ClientTool(Open):
    """A tool that the client runs. One that runs at Anthropic, or whose arguments only their models know, has another
    `type`."""

    type: str | None = None
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9_.-]{1,128}$")
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    input_examples: list[dict[str, Any]] | None = None
    strict: bool | None = None
    defer_loading: bool | None = None
    allowed_callers: list[str] | None = None
    eager_input_streaming: bool | None = None
    cache_control: Any = None


class ToolChoice(Open):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Open):
    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: int | None = Field(None, ge=0, lt=_INT64)
    display: Literal["summarized", "omitted"] | None = None


class OutputFormat(Open):
    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(Open):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None
    task_budget: Any = None


class Metadata(Open):
    user_id: str | None = None


class PromptRequest(Open):
    """What becomes the prompt, and what decides whether the model thinks. All of it can be counted."""

    model: str
    messages: Annotated[
        Annotated[list[Turn], Field(min_length=1, max_length=_MOST_MESSAGES, fail_fast=True)],
        BeforeValidator(few_parts),
    ]
    system: Blocks | None = None
    tools: list[ClientTool] | None = Field(None, max_length=_MOST_TOOLS, fail_fast=True)
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    cache_control: Any = None

    container: Any = None
    context_management: Any = None
    mcp_servers: Any = None
    inference_geo: Any = None
    speed: Any = None
    diagnostics: Any = None
    output_format: Any = None
    fallbacks: Any = None
    fallback_credit_token: Any = None
    prefill: Any = None
    compaction: Any = None
    thread: Any = None
    billing_policy: Any = None


class MessagesRequest(PromptRequest):
    max_tokens: int = Field(ge=1, lt=_INT64)
    stream: bool | None = None
    stop_sequences: list[Annotated[str, Field(min_length=1)]] | None = Field(
        None, max_length=MOST_STOPS, fail_fast=True
    )
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    top_k: int | None = Field(None, ge=0, lt=2**31)
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None

    @property
    def omits_trace(self) -> bool:
        """Whether the client wants no trace to read, only what brings it back."""
        return self.thinking is not None and self.thinking.display == "omitted"


_KEEP_ALL = {"type": "clear_thinking_20251015", "keep": "all"}

REFUSED: dict[str, tuple[Any, ...]] = {
    "container": (),
    "context_management": ({}, {"edits": []}, {"edits": [_KEEP_ALL]}),
    "mcp_servers": ([],),
    "inference_geo": (),
    "speed": ("standard",),
    "diagnostics": (),
    "output_format": (),
    "fallbacks": ([],),
    "fallback_credit_token": (),
    "prefill": (),
    "compaction": (),
    "thread": (),
    "billing_policy": (),
}
"""Fields that this server knows and cannot honour, with the values that ask for nothing."""

INSTEAD = {
    "container": "this server runs no code",
    "context_management": "this server sends the model what the client sends; edit the messages",
    "mcp_servers": "this server calls no others; connect to them in the client, and send their tools",
    "inference_geo": "it runs where it runs",
    "output_format": "it is called output_config.format now",
    "prefill": "send what the model should continue as the last message, of role assistant",
    "thread": "this server keeps no messages; send the whole conversation, or use /v1/responses",
}
"""Why not, and what to do, where there is more to say than that it cannot be done."""
