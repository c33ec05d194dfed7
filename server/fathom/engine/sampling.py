"""Our Sampling, filled up with the family's defaults, to vLLM's SamplingParams."""

from typing import Any

from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind

from fathom.core.errors import BadRequest, ContextLengthExceeded
from fathom.core.generation import Sampling

_OVERSHOOT = 2
"""Tokens by which vLLM 0.32 overruns the budget of a trace that the prompt opened; the engine tests measure it."""


def completion_limit(sampling: Sampling, prompt_tokens: int, context_length: int) -> int:
    """Most tokens that may be generated. Raises BadRequest if what was asked does not fit."""
    room = context_length - prompt_tokens
    if room < 1 or (sampling.max_tokens or 0) > room:
        raise ContextLengthExceeded(
            limit=context_length, prompt_tokens=prompt_tokens, max_tokens=sampling.max_tokens if room > 0 else None
        )
    limit = sampling.max_tokens or room
    if sampling.min_tokens > limit:
        raise BadRequest(
            f"min_tokens is {sampling.min_tokens} and at most {limit} tokens can be generated. Lower min_tokens.",
            param="min_tokens",
        )
    return limit


def thinking_budget(asked: int | None, default: int | None, limit: int) -> int | None:
    """Tokens of trace. A default leaves half of `limit` for the answer; what the client asks for is taken as it is."""
    if asked is not None:
        return asked
    return None if default is None else min(default, limit // 2)


def engine_budget(budget: int | None, prefilled: int) -> int | None:
    """What vLLM is to be told so that at most `budget` tokens are thought.

    `prefilled`: tokens of the prompt behind the start delimiter, which vLLM counts.
    """
    return None if budget is None else max(0, budget + prefilled - _OVERSHOOT)


def to_params(sampling: Sampling, defaults: dict[str, Any], *, limit: int, budget: int | None) -> SamplingParams:
    """`defaults` are the family's; stop strings are not vLLM's business (see engine/detokenizer.py)."""
    chosen = {
        name: value
        for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
        if (value := getattr(sampling, name)) is not None
    }
    return SamplingParams(
        **(defaults | chosen),
        max_tokens=limit,
        min_tokens=sampling.min_tokens,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        seed=sampling.seed,
        logit_bias=sampling.logit_bias or None,
        ignore_eos=sampling.ignore_eos,
        thinking_token_budget=budget,
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
        skip_clone=True,
    )
