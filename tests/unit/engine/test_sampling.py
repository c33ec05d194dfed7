import pytest
from fathom.core.errors import ContextLengthExceeded
from fathom.core.generation import Sampling
from fathom.engine.sampling import completion_limit


def test_without_a_limit_there_is_what_the_context_leaves():
    assert completion_limit(Sampling(), 30, 100) == 70


def test_a_limit_beyond_the_context_is_refused():
    assert completion_limit(Sampling(max_tokens=70), 30, 100) == 70
    with pytest.raises(ContextLengthExceeded):
        completion_limit(Sampling(max_tokens=71), 30, 100)


def test_a_limit_that_may_be_fitted_is_cut_to_the_context():
    assert completion_limit(Sampling(max_tokens=32_000, max_tokens_fit=True), 30, 100) == 70


def test_a_prompt_that_leaves_no_room_is_refused_in_any_case():
    with pytest.raises(ContextLengthExceeded):
        completion_limit(Sampling(max_tokens=1, max_tokens_fit=True), 100, 100)
