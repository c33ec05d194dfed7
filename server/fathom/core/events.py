"""What is said of one request, in order: Accepted, then deltas, then one Finished for each choice; before all of them
Queued, any number of times, where it has to wait for the engine.

Accepted comes before any token, so whatever can be refused is refused before response headers leave. A stream that ends
without Finished has failed. `choice` counts the request's alternatives from 0; those of one request are interleaved.
"""

from dataclasses import dataclass
from typing import Literal

FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token and the natural logarithm of its probability. `top`: the likeliest tokens at its place, best first.

    `raw` is the token's bytes: a token may be a part of a character. `logprob` is None for the first token of a prompt.
    """

    token_id: int
    raw: bytes
    logprob: float | None
    top: tuple["TokenLogprob", ...] = ()

    @property
    def text(self) -> str:
        return self.raw.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Queued:
    """The request waits for its turn. No engine says so, it is said before one is asked.

    position: 1 is the next. wait: seconds that it is expected to take, None as long as nothing was measured.
    """

    position: int
    wait: float | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The engine has taken the request: everything that can be refused was refused before.

    prompt_ids: only where the request asked for token ids.
    """

    prompt_tokens: int
    prompt_ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Echo:
    """The prompt, said back. Only where the request asked for it; once, before any delta."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Tokens:
    """Ids of generated tokens, delimiters included. Only where the request asked for them; before their deltas."""

    ids: tuple[int, ...]
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of the trace, never empty and never white space alone at the trace's edges."""

    text: str
    choice: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer, never empty."""

    text: str
    choice: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCallStart:
    """The model calls a tool. `call` counts the calls of the choice from 0."""

    call: int
    id: str
    name: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a call's arguments, never empty. All pieces of a call together are JSON, if the choice was not cut."""

    call: int
    arguments: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a choice. `completion_tokens` includes `reasoning_tokens`; both are counted by token ids, delimiters
    included. `prompt_tokens` and `cached_tokens` are the request's, the same in every choice.

    cached_tokens: how many of the prompt's tokens came from the prefix cache.
    budget_exhausted: the trace was cut by its thinking budget. trace_cut: it was cut by the token limit.
    stop: the stop string that ended the answer, if one did.
    """

    reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    budget_exhausted: bool = False
    trace_cut: bool = False
    choice: int = 0
    stop: str | None = None


Piece = ReasoningDelta | TextDelta | ToolCallStart | ToolCallDelta
Event = Queued | Accepted | Echo | Tokens | Piece | Finished
