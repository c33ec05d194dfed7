"""The one canonical request. Every dialect translates into it; the engine knows nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fathom.core.shortcut import Shortcut
from fathom.core.tenant import ANYONE, Caller

Role = Literal["system", "developer", "user", "assistant", "tool"]
Effort = Literal["minimal", "low", "medium", "high", "xhigh", "max"]
Tier = Literal["priority", "default", "flex"]
"""The band that a request waits in, the first one first."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that an earlier turn made. `arguments` is JSON, as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `reasoning` is the trace of an earlier assistant turn; whether it is replayed is the engine's rule.

    tool_calls: what an assistant turn called. tool_call_id: which call a tool turn answers.
    """

    role: Role
    content: str
    name: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. `parameters` is a JSON Schema of an object; None takes no arguments.

    strict: arguments must follow the schema even where the model is free not to call.
    """

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    strict: bool = False


@dataclass(frozen=True, slots=True)
class ToolUse:
    """Which tools there are and how they may be used.

    mode: "none" hides them from the model, "auto" leaves it to the model, "required" makes it call at least one.
    parallel: more than one call in a turn.
    """

    tools: tuple[Tool, ...] = ()
    mode: Literal["none", "auto", "required"] = "auto"
    parallel: bool = True


@dataclass(frozen=True, slots=True)
class Chat:
    """Messages, through the model's chat template.

    continues: the last message is an assistant's, and the model goes on where it ends (inside its trace, if it has
    `reasoning` and no content). variables: for the chat template, beyond the family's own. generates: the prompt ends
    with the opening of the assistant's turn. param: where the client wrote the messages, for errors.
    """

    messages: tuple[Message, ...]
    tools: ToolUse = field(default_factory=ToolUse)
    continues: bool = False
    generates: bool = True
    variables: Mapping[str, Any] = field(default_factory=dict)
    param: str = "messages"


@dataclass(frozen=True, slots=True)
class Text:
    """Raw text to continue: special tokens that it spells are those tokens. `begins`: the model's beginning-of-text
    token comes first, if it has one.

    suffix: what comes behind the gap, for a model that can fill in the middle.
    """

    text: str
    begins: bool = True
    suffix: str | None = None


@dataclass(frozen=True, slots=True)
class TokenIds:
    """Token ids to continue, as they are."""

    ids: tuple[int, ...]


Prompt = Chat | Text | TokenIds


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. None means: the model family's default.

    max_tokens_fit: more of them than the context leaves room for is cut to that, instead of refused.
    logprobs: None for none, else how many alternatives to report at each position (0 is the drawn token alone).
    """

    max_tokens: int | None = None
    max_tokens_fit: bool = False
    min_tokens: int = 0
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    bad_words: tuple[str, ...] = ()
    logit_bias: dict[int, float] = field(default_factory=dict)
    ignore_eos: bool = False
    logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class Structure:
    """What the answer must match; it holds from the end of the trace on.

    kind and value: "json_schema" a JSON Schema (object or boolean), "json_object" None, "regex" a pattern, "choice" a
    tuple of strings, "grammar" an EBNF grammar, "structural_tag" the JSON object of xgrammar's structural tags.
    """

    kind: Literal["json_schema", "json_object", "regex", "choice", "grammar", "structural_tag"]
    value: Any = None
    param: str = "response_format"


@dataclass(frozen=True, slots=True)
class ReasoningControl:
    """What the client wants of the trace.

    enabled: think or not; None is the family's habit.
    budget: most tokens of trace; None is the server's default, 0 ends the trace at once.
    effort: a share of the token limit as budget, where none is given. visible: False hides the trace from the client;
    it is still generated and counted. param: where the client said so, for errors.
    """

    enabled: bool | None = None
    budget: int | None = None
    effort: Effort | None = None
    visible: bool = True
    param: str = "thinking"


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A prompt to continue, `n` times. `id` is unique in the life of the process.

    adapter: a LoRA adapter by name, None the model. echo: say the prompt back first. token_ids: report token ids.
    timeout: seconds that the client gives it. patient: nobody waits for its first token. caller: whose it is.
    shortcut: by which its deltas may reach the client.
    """

    id: str
    prompt: Prompt
    sampling: Sampling = field(default_factory=Sampling)
    reasoning: ReasoningControl = field(default_factory=ReasoningControl)
    structure: Structure | None = None
    adapter: str | None = None
    n: int = 1
    echo: bool = False
    token_ids: bool = False
    timeout: float | None = None
    patient: bool = False
    caller: Caller = ANYONE
    tier: Tier = "default"
    shortcut: Shortcut | None = field(default=None, compare=False)
