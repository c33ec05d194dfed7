"""What an engine says of one request, in order: Accepted, then deltas, then Finished.

Accepted comes before any token, so whatever can be refused is refused before response headers leave. A stream that ends
without Finished has failed.
"""

from dataclasses import dataclass
from typing import Literal

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The engine has taken the request: everything that can be refused was refused before."""

    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of the trace, never empty and never white space alone at the trace's edges."""

    text: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The end. `completion_tokens` includes `reasoning_tokens`; both are counted by token ids, delimiters included.

    cached_tokens: how many of the prompt's tokens came from the prefix cache.
    budget_exhausted: the trace was cut by its thinking budget.
    """

    reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    budget_exhausted: bool = False


Event = Accepted | ReasoningDelta | TextDelta | Finished
