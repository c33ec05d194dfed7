"""The one canonical request. Every dialect translates into it; the engine knows nothing else."""

from dataclasses import dataclass, field
from typing import Literal

Role = Literal["system", "developer", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `reasoning` is the trace of an earlier assistant turn; whether it is replayed is the engine's rule."""

    role: Role
    content: str
    name: str | None = None
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. None means: the model family's default."""

    max_tokens: int | None = None
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
    logit_bias: dict[int, float] = field(default_factory=dict)
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True)
class ReasoningControl:
    """What the client wants of the trace.

    enabled: think or not; None is the family's habit.
    budget: most tokens of trace; None is the server's default, 0 ends the trace at once.
    visible: False hides the trace from the client; it is still generated and counted.
    """

    enabled: bool | None = None
    budget: int | None = None
    visible: bool = True


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A chat to continue. `id` is unique in the life of the process; `adapter` names a LoRA adapter, None the model."""

    id: str
    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    reasoning: ReasoningControl = field(default_factory=ReasoningControl)
    adapter: str | None = None
