"""Top-p without sorting the vocabulary, on a CPU (docs/adr/0025).

vLLM sorts every row of logits to find the few tokens that are likely enough. Nearly always they are among the first
hundreds, which are found without sorting the rest; rows for which they are not are sorted by vLLM.
"""

import multiprocessing
from collections.abc import Callable

import torch
from torch import Tensor

_FIRST = 512
"""Likeliest tokens among which those of top-p are looked for (docs/performance.md)."""

Restrict = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
"""vLLM's apply_top_k_top_p: logits of shape (rows, vocabulary); k and p of shape (rows,), or None. What is not to be
drawn becomes -inf, in place."""


def take_top_p() -> None:
    """In the engine's own processes, on a CPU."""
    from vllm.platforms import current_platform

    if multiprocessing.parent_process() is None or not current_platform.is_cpu():
        return
    from vllm.v1.sample.ops import topk_topp_sampler as sampler

    sampler.apply_top_k_top_p = by_the_first(sampler.apply_top_k_top_p)


def by_the_first(whole: Restrict) -> Restrict:
    """whole: restricts rows for which the first tokens are not enough."""

    def restrict(logits: Tensor, k: Tensor | None, p: Tensor | None) -> Tensor:
        vocabulary = logits.shape[1]
        if p is None or vocabulary <= _FIRST:
            return whole(logits, k, p)
        limit = torch.full_like(p, vocabulary, dtype=torch.long) if k is None else k.long()
        free = (p >= 1) & (limit >= vocabulary)  # rows that nothing restricts
        first, tokens = logits.topk(_FIRST)
        kept, enough = _kept(logits, first, limit, p)
        rest = ~(enough | free)
        sorted_rows = whole(logits[rest], limit[rest], p[rest]) if rest.any() else None
        done = (enough & ~free).nonzero()
        logits.index_fill_(0, done[:, 0], float("-inf"))
        logits[done, tokens[done[:, 0]]] = first.masked_fill_(~kept, float("-inf"))[done[:, 0]]
        if sorted_rows is not None:
            logits[rest] = sorted_rows
        return logits

    return restrict


def _kept(logits: Tensor, first: Tensor, limit: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """Which of the first tokens may be drawn, and for which rows no others may. first: shape (rows, first), falling."""
    few = limit <= _FIRST
    last = first.gather(1, (limit.clamp(max=_FIRST) - 1)[:, None])
    within = (first >= last) & (first > float("-inf"))  # as in vLLM, what is as likely as the last of top-k counts, too
    total = first.masked_fill(~within, float("-inf")).logsumexp(1)
    if not few.all():
        total = torch.where(few, total, logits.logsumexp(1))
    share = (first - total[:, None]).exp()
    before = share.cumsum(1) - share  # probability of all that are likelier
    kept = within & ((before < p[:, None]) | (p >= 1)[:, None])
    seen = torch.where(few, ~within[:, -1], ~kept[:, -1] & (limit >= logits.shape[1]))  # all that may be drawn
    enough = seen & kept[:, 0]  # which it is, unless there are numbers that are none
    return kept, enough
