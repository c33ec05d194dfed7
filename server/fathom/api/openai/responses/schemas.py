"""POST /v1/responses: what a client may send. Names and bounds are OpenAI's, and beyond those what chat takes, too."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from fathom.api.fields import Open
from fathom.api.openai.controls import ReasoningFields, ReasoningOptions
from fathom.api.openai.fields import (
    INT64,
    UNSUPPORTED,
    Metadata,
    SamplingOptions,
    StructuredOutputs,
    UnsupportedSampling,
)
from fathom.api.openai.responses.input_schemas import Id, InputItem, as_items, few_parts
from fathom.api.tool_use import MOST_TOOLS, NAME

_MOST_ITEMS = 4096

Include = Literal[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]
Summary = Literal["auto", "concise", "detailed"]


class Tool(Open):
    """A function. OpenAI's own tools are refused by name."""

    type: str
    name: str | None = Field(None, pattern=NAME)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class NamedTool(Open):
    type: str = "function"
    name: str | None = None


class ToolChoice(Open):
    """One function by name, or a part of the tools."""

    type: str
    name: str | None = None
    mode: Literal["auto", "required"] = "auto"
    tools: list[NamedTool] | None = Field(None, min_length=1, max_length=MOST_TOOLS, fail_fast=True)


class TextFormat(Open):
    """A schema is always followed, `strict` or not."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class TextOptions(Open):
    format: TextFormat | None = None
    verbosity: Any = None


class ResponsesReasoning(ReasoningOptions):
    """`summary`: show the trace as the item's summary, too. `generate_summary`: its old name."""

    summary: Summary | None = None
    generate_summary: Summary | None = None
    context: Any = None
    mode: Any = None


Hint = Annotated[str, Field(max_length=512)]


class StreamOptions(Open):
    include_obfuscation: Any = None


class PromptRequest(ReasoningFields):
    """What decides what the model reads; also the body of POST /v1/responses/input_tokens."""

    model: str
    input: (
        Annotated[
            Annotated[list[InputItem], Field(max_length=_MOST_ITEMS, fail_fast=True)],
            BeforeValidator(few_parts),
            BeforeValidator(as_items),
        ]
        | None
    ) = None
    instructions: str | None = None
    previous_response_id: Id | None = None
    tools: list[Tool] | None = Field(None, max_length=MOST_TOOLS, fail_fast=True)
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning: ResponsesReasoning | None = None
    text: TextOptions | None = None
    truncation: Literal["auto", "disabled"] | None = None

    conversation: Any = None
    personality: Any = None


class ResponsesRequest(PromptRequest, SamplingOptions, UnsupportedSampling):
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    store: bool | None = None
    background: bool | None = None
    include: list[Include] | None = Field(None, max_length=16, fail_fast=True)
    max_output_tokens: int | None = Field(None, ge=1, lt=INT64)
    top_logprobs: int | None = Field(None, ge=0, le=20)
    structured_outputs: StructuredOutputs | None = None

    service_tier: Literal["auto", "default", "flex", "priority", "scale", "fast", "ultrafast"] | None = None
    metadata: Metadata | None = None
    user: Hint | None = None
    safety_identifier: Hint | None = None
    prompt_cache_key: Hint | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    prompt_cache_options: dict[str, Any] | None = None

    access_programs: Any = None
    background_options: Any = None
    context_management: Any = None
    image: Any = None
    max_tool_calls: Any = None
    moderation: Any = None
    prompt: Any = None
    functions: Any = None
    max_completion_tokens: Any = None
    max_tokens: Any = None
    messages: Any = None
    n: Any = None
    response_format: Any = None

    @property
    def stored(self) -> bool:
        return self.store is not False

    @property
    def wants_logprobs(self) -> bool:
        return bool(self.top_logprobs) or "message.output_text.logprobs" in (self.include or ())

    @property
    def wants_sealed_trace(self) -> bool:
        return "reasoning.encrypted_content" in (self.include or ())

    @property
    def wants_summary(self) -> bool:
        return bool(self.reasoning and (self.reasoning.summary or self.reasoning.generate_summary))


REFUSED_PROMPT: dict[str, tuple[Any, ...]] = {"conversation": (), "personality": ()}
REFUSED: dict[str, tuple[Any, ...]] = {
    **REFUSED_PROMPT,
    **UNSUPPORTED,
    "access_programs": (),
    "background_options": (),
    "context_management": ([],),
    "image": (),
    "max_tool_calls": (),
    "moderation": (),
    "prompt": (),
    "functions": ([],),
    "max_completion_tokens": (),
    "max_tokens": (),
    "messages": (),
    "n": (1,),
    "response_format": (),
}
"""Fields that this server knows and cannot honour, with the values that ask for nothing."""

REFUSED_INSIDE: dict[str, dict[str, tuple[Any, ...]]] = {
    "reasoning": {"context": ("auto", "current_turn"), "mode": ("standard",)},
    "text": {"verbosity": ("medium",)},
    "stream_options": {"include_obfuscation": (False,)},
}
"""The same, of fields inside of others."""

INSTEAD = {
    "conversation": "this server keeps none; go on from a response with previous_response_id",
    "prompt": "this server keeps no prompts; send instructions and input",
    "max_tool_calls": "it counts calls of built-in tools, and there are none",
    "context_management": "nothing is condensed here; truncation: auto leaves the oldest items out",
    "functions": "it is called tools here",
    "max_completion_tokens": "it is called max_output_tokens here",
    "max_tokens": "it is called max_output_tokens here",
    "messages": "it is called input here",
    "n": "a response is one turn; send the request again for another",
    "response_format": "it is called text.format here",
    "reasoning.context": "a trace is replayed within its turn alone",
    "text.verbosity": "these models have no such control; ask for it in the instructions",
    "stream_options.include_obfuscation": "events are not padded",
}
"""Why not, and what to do, where there is more to say than that it cannot be done."""
