"""What a request becomes before it goes to the engine."""

import pytest
from fathom.core.generation import GenerationRequest, Sampling, TokenIds
from fathom.core.tenant import Caller, Limits, Tenant
from fathom.engine.grammar_check import GrammarChecker
from fathom.engine.plan import Planner
from fathom.models.profiles import by_name

from tests.tokenizers import small_tokenizer

CONTEXT = 4096


class Trusting(GrammarChecker):
    async def check(self, tag: str, param: str) -> None:
        pass


@pytest.mark.parametrize(
    ("choices", "sampling", "limit"),
    [
        (1, Sampling(), 90),
        (3, Sampling(), 30),
        (1, Sampling(max_tokens=1000, max_tokens_fit=True), 90),  # by the limit of its key
        (1, Sampling(max_tokens=20), 20),
        (1, Sampling(max_tokens=95), 95),  # which is refused later, by its own words
    ],
)
async def test_who_names_no_limit_gets_what_the_context_of_its_key_allows(choices, sampling, limit):
    planner = Planner(small_tokenizer(), by_name("plain"), context_length=CONTEXT, checker=Trusting("{}"))
    ids = planner.encode("hello world, the sky is blue. " * 9)[:10]
    assert len(ids) == 10
    caller = Caller(Tenant("a"), "key_1", limits=Limits(max_context=100))
    request = GenerationRequest("r", TokenIds(tuple(ids)), n=choices, sampling=sampling, caller=caller)
    assert (await planner.plan(request)).limit == limit
