"""POST /v1/chat/completions: what a client may send. Names and bounds are OpenAI's, and beyond those vLLM's."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_INT64 = 2**63


class TextPart(BaseModel):
    type: Literal["text"]
    text: str


def _as_parts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _as_list(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


class ChatMessage(BaseModel):
    """`reasoning_content` and `reasoning` of earlier turns are accepted; the trace is not replayed to the model."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[list[TextPart], BeforeValidator(_as_parts)] | None = None
    name: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: Any = None

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.content or [])


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="allow")

    include_usage: bool = False


class Thinking(BaseModel):
    """As DeepSeek and Anthropic spell it. `budget_tokens`: the most tokens of trace."""

    model_config = ConfigDict(extra="allow")

    type: Literal["enabled", "disabled"]
    budget_tokens: int | None = Field(None, ge=0, lt=_INT64)


class ChatRequest(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool | None = False
    stream_options: StreamOptions | None = None

    max_completion_tokens: int | None = Field(None, ge=1, lt=_INT64)
    max_tokens: int | None = Field(None, ge=1, lt=_INT64)
    min_tokens: int | None = Field(None, ge=0, lt=_INT64)
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    top_k: int | None = Field(None, ge=-1, lt=2**31)
    min_p: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    presence_penalty: float | None = Field(None, ge=-2, le=2, allow_inf_nan=False)
    frequency_penalty: float | None = Field(None, ge=-2, le=2, allow_inf_nan=False)
    repetition_penalty: float | None = Field(None, gt=0, le=10, allow_inf_nan=False)
    seed: int | None = Field(None, ge=-_INT64, lt=_INT64)
    stop: (
        Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_as_list), Field(max_length=4)] | None
    ) = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    ignore_eos: bool | None = None

    thinking: Thinking | None = None
    thinking_token_budget: int | None = Field(None, ge=0, lt=_INT64)
    enable_thinking: bool | None = None
    include_reasoning: bool | None = None

    n: Any = None
    tools: Any = None
    tool_choice: Any = None
    response_format: Any = None
    logprobs: Any = None
    top_logprobs: Any = None
    reasoning_effort: Any = None
    reasoning: Any = None
    chat_template: Any = None
    chat_template_kwargs: Any = None
    continue_final_message: Any = None
    structured_outputs: Any = None
    prompt_embeds: Any = None
    modalities: Any = None
    audio: Any = None


REFUSED: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "reasoning_effort": (),
    "reasoning": (),
    "chat_template": (),
    "chat_template_kwargs": ({},),
    "continue_final_message": (False,),
    "structured_outputs": (),
    "prompt_embeds": (),
    "modalities": (["text"],),
    "audio": (),
}
"""Fields that this server knows and cannot honour yet, with the values that ask for nothing."""
