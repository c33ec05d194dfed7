"""Against vLLM's own, which sorts."""

from typing import Any

import pytest
import torch
from fathom.engine import nucleus
from fathom.engine.nucleus import by_the_first
from torch import Tensor
from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p_pytorch

ROWS, VOCABULARY = 6, 4096


def whole(logits: Tensor, k: Tensor | None, p: Tensor | None) -> Tensor:
    return apply_top_k_top_p_pytorch(logits, k, p, allow_cpu_sync=True)


def logits(scale: float, seed: int = 1) -> Tensor:
    """scale: 0 is flat, 5 as sharp as a model is."""
    return torch.randn(ROWS, VOCABULARY, generator=torch.Generator().manual_seed(seed)) * scale


def same(found: Tensor, expected: Tensor) -> None:
    """But for a token at the edge, where sums of floats in another order fall on the other side."""
    agree = (found == expected).all(1)
    for row in (~agree).nonzero()[:, 0]:
        differing = (found[row] != expected[row]).nonzero()
        assert len(differing) == 1, row
    assert agree.sum() >= ROWS - 1


@pytest.mark.parametrize("k", [None, 1, 20, 511, 512, 513, 3000, VOCABULARY])
@pytest.mark.parametrize("p", [1e-6, 0.3, 0.95, 1.0])
@pytest.mark.parametrize("scale", [0.1, 2.0, 6.0])
def test_the_same_tokens_are_left(scale: float, p: float, k: int | None) -> None:
    given = logits(scale)
    ks = None if k is None else torch.full((ROWS,), k, dtype=torch.int32)
    ps = torch.full((ROWS,), p)
    expected = whole(given.clone(), None if ks is None else ks.clone(), ps)
    found = by_the_first(whole)(given, ks, ps)
    assert found is given  # in place
    same(found, expected)


def test_rows_of_all_kinds_are_restricted_side_by_side() -> None:
    given = torch.cat([logits(scale)[:2] for scale in (0.1, 2.0, 6.0)])
    ks = torch.tensor([VOCABULARY, 10, VOCABULARY, 2000, VOCABULARY, 40])
    ps = torch.tensor([0.9, 0.9, 1.0, 0.9, 0.9, 1.0])
    expected = whole(given.clone(), ks.clone(), ps)
    same(by_the_first(whole)(given.clone(), ks, ps), expected)


def test_only_rows_that_the_first_tokens_are_not_enough_for_are_sorted() -> None:
    sorted_rows: list[int] = []

    def counting(rows: Tensor, k: Tensor | None, p: Tensor | None) -> Tensor:
        sorted_rows.append(len(rows))
        return whole(rows, k, p)

    restrict = by_the_first(counting)
    ps = torch.full((ROWS,), 0.95)
    restrict(logits(6.0), None, ps)
    restrict(logits(0.1), None, torch.ones(ROWS))
    assert not sorted_rows
    mixed = logits(6.0)
    mixed[2] = 0
    restrict(mixed, None, ps)
    assert sorted_rows == [1]


def test_a_grammar_that_leaves_fewer_than_top_k_sorts_nothing() -> None:
    given = logits(6.0)
    given[:, 9:] = float("-inf")
    ks, ps = torch.full((ROWS,), 20), torch.full((ROWS,), 0.95)
    expected = whole(given.clone(), ks.clone(), ps)
    never: list[int] = []
    found = by_the_first(lambda rows, *_: never.append(len(rows)) or rows)(given, ks, ps)
    assert not never
    same(found, expected)


def test_what_a_grammar_forbids_stays_forbidden() -> None:
    given = logits(6.0)
    allowed = torch.zeros(VOCABULARY, dtype=torch.bool)
    allowed[5:9] = True
    given[:, ~allowed] = float("-inf")
    found = by_the_first(whole)(given.clone(), None, torch.full((ROWS,), 0.95))
    assert not found[:, ~allowed].isfinite().any()
    assert found[:, allowed].isfinite().any(1).all()
    same(found, whole(given, None, torch.full((ROWS,), 0.95)))


def test_tokens_as_likely_as_the_last_of_top_k_are_left_as_vllm_leaves_them() -> None:
    for tied in (3, 700):
        given = torch.full((ROWS, VOCABULARY), -5.0)
        given[:, :tied] = 1.0
        ks, ps = torch.full((ROWS,), 2), torch.ones(ROWS)
        found = by_the_first(whole)(given.clone(), ks, ps)
        assert torch.equal(found.isfinite().sum(1), whole(given, ks.clone(), ps).isfinite().sum(1))
        assert found[0].isfinite().sum() == tied


def test_numbers_that_are_none_do_not_leave_a_row_without_tokens() -> None:
    given = logits(6.0)
    given[1, 7] = float("nan")
    found = by_the_first(whole)(given, None, torch.full((ROWS,), 0.9))
    assert (found[1] != float("-inf")).any()


def test_the_api_process_keeps_vllms(monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm.v1.sample.ops import topk_topp_sampler as sampler

    before: Any = sampler.apply_top_k_top_p
    nucleus.take_top_p()
    assert sampler.apply_top_k_top_p is before
    monkeypatch.setattr(nucleus.multiprocessing, "parent_process", object)
    monkeypatch.setattr(sampler, "apply_top_k_top_p", before)
    nucleus.take_top_p()
    assert sampler.apply_top_k_top_p is not before
