"""Our Sampling, filled up with the family's defaults, to vLLM's SamplingParams; and how long a trace may be."""

from typing import Any

from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

from fathom.core.errors import BadRequest, ContextLengthExceeded
from fathom.core.generation import Effort, ReasoningControl, Sampling
from fathom.models.profiles import Reasoning

_INT64 = 2**63
_OVERSHOOT = 2
"""Tokens by which vLLM 0.32 overruns the budget of a trace that the prompt opened; the engine tests measure it."""

SHARES: dict[Effort, float] = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.95, "max": 0.95}
"""Effort to the share of the token limit that a trace may take."""


def completion_limit(sampling: Sampling, prompt_tokens: int, context_length: int, param: str = "messages") -> int:
    """Most tokens that may be generated. Raises BadRequest if what was asked does not fit."""
    room = context_length - prompt_tokens
    too_many = (sampling.max_tokens or 0) > room and not sampling.max_tokens_fit
    if room < 1 or too_many:
        raise ContextLengthExceeded(
            limit=context_length,
            prompt_tokens=prompt_tokens,
            max_tokens=sampling.max_tokens if room > 0 else None,
            param=param,
        )
    limit = room if sampling.max_tokens is None else min(sampling.max_tokens, room)
    if sampling.min_tokens > limit:
        raise BadRequest(
            f"min_tokens is {sampling.min_tokens} and at most {limit} tokens can be generated. Lower min_tokens.",
            param="min_tokens",
        )
    return limit


def thinking_budget(control: ReasoningControl, family: Reasoning, limit: int, end_tokens: int) -> int | None:
    """Tokens of trace: the client's budget as it is, else a share of `limit` by its effort (unless the family's
    template takes the effort itself), else the family's default.

    Effort leaves room for the end delimiter and an answer; a default leaves half of `limit`.
    """
    if control.budget is not None:
        return min(control.budget, limit)  # more means the same, and grammars count in 32 bits
    if control.effort is not None and family.effort is None:
        return max(0, min(int(limit * SHARES[control.effort]), limit - end_tokens - 1))
    return None if family.budget is None else min(family.budget, limit // 2)


def engine_budget(budget: int | None, prefilled: int) -> int | None:
    """What vLLM is to be told so that at most `budget` tokens are thought.

    `prefilled`: tokens of the prompt behind the start delimiter, which vLLM counts.
    """
    return None if budget is None else max(0, budget + prefilled - _OVERSHOOT)


def to_params(
    sampling: Sampling,
    defaults: dict[str, Any],
    *,
    limit: int,
    choice: int = 0,
    budget: int | None = None,
    tag: str | None = None,
    echo: bool = False,
) -> SamplingParams:
    """`defaults` are the family's, `tag` the structural tag that the output must match. echo: logprobs of the prompt.

    Stop strings are not vLLM's business (see engine/detokenizer.py). Each choice draws with a seed of its own.
    """
    chosen = {
        name: value
        for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
        if (value := getattr(sampling, name)) is not None
    }
    return SamplingParams(
        **(defaults | chosen),
        max_tokens=max(1, limit),
        min_tokens=sampling.min_tokens,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        seed=None if sampling.seed is None else _own_seed(sampling.seed, choice),
        logit_bias=sampling.logit_bias or None,
        stop_token_ids=list(sampling.stop_token_ids),
        bad_words=list(sampling.bad_words),
        ignore_eos=sampling.ignore_eos,
        logprobs=sampling.logprobs,
        prompt_logprobs=sampling.logprobs if echo else None,
        thinking_token_budget=budget,
        structured_outputs=StructuredOutputsParams(structural_tag=tag) if tag else None,
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
        skip_clone=True,
    )


def _own_seed(seed: int, choice: int) -> int:
    """Of one choice, in 64 bits. To vLLM, -1 is no seed."""
    own = (seed + choice + _INT64) % (2 * _INT64) - _INT64
    return _INT64 - 1 if own == -1 else own
