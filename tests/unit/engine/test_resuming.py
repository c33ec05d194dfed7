from types import SimpleNamespace

import pytest
import torch
from fathom.engine import resuming
from fathom.engine.resuming import produced, resumed
from vllm import SamplingParams
from vllm.v1.request import Request
from vllm.v1.sample.logits_processor import BatchUpdate
from vllm.v1.sample.thinking_budget_state import ThinkingBudgetStateHolder
from vllm.v1.structured_output import StructuredOutputManager

EMPTY = {
    "client_index": 0,
    "prompt_embeds": None,
    "prompt_is_token_ids": None,
    "mm_features": None,
    "pooling_params": None,
    "arrival_time": None,
    "lora_request": None,
    "cache_salt": None,
    "priority": 0,
    "trace_headers": None,
    "session_id": None,
    "kv_hints": None,
    "reasoning_ended": None,
    "reasoning_parser_kwargs": None,
    "resumable": False,
    "abort_immediately": False,
}


def request(params: SamplingParams) -> SimpleNamespace:
    return SimpleNamespace(request_id="r", prompt_token_ids=[1, 2, 3], sampling_params=params, **EMPTY)


def test_a_resumed_request_brings_what_it_produced_and_asks_for_nothing_of_the_prompt():
    params = SamplingParams(max_tokens=9, prompt_logprobs=2, extra_args={"other": 1})
    again = resumed(params, [7, 8])
    assert produced(again) == [7, 8]
    assert again.prompt_logprobs is None
    assert again.max_tokens == 9
    assert again.extra_args["other"] == 1
    assert produced(params) == []
    assert params.prompt_logprobs == 2


@pytest.mark.parametrize("params", [None, SamplingParams(), SamplingParams(extra_args={"other": 1})])
def test_other_requests_bring_nothing(params):
    assert produced(params) == []


@pytest.mark.parametrize("ids", [[], [7, 8]])
def test_to_the_scheduler_what_was_produced_is_output_and_not_prompt(monkeypatch, ids):
    monkeypatch.setattr(Request, "from_engine_core_request", Request.from_engine_core_request)
    resuming._in_scheduler()
    params = SamplingParams(max_tokens=9)
    made = Request.from_engine_core_request(request(resumed(params, ids) if ids else params), None)
    assert (made.num_prompt_tokens, made.num_output_tokens) == (3, len(ids))
    assert list(made.all_token_ids) == [1, 2, 3, *ids]


class Grammar:
    def __init__(self, takes: bool) -> None:
        self.takes, self.taken = takes, []

    def accept_tokens(self, request_id: str, ids: list[int]) -> bool:
        self.taken += ids
        return self.takes


@pytest.mark.parametrize("takes", [True, False])
def test_a_grammar_is_advanced_over_what_was_produced_or_the_request_fails(monkeypatch, takes):
    grammar = Grammar(takes)
    monkeypatch.setattr(StructuredOutputManager, "_create_grammar", lambda _manager, _request: grammar)
    resuming._in_grammar()
    asked = request(resumed(SamplingParams(), [7, 8]))
    if takes:
        assert StructuredOutputManager._create_grammar(None, asked) is grammar
    else:
        with pytest.raises(ValueError, match="does not take"):
            StructuredOutputManager._create_grammar(None, asked)
    assert grammar.taken == [7, 8]


END = [5, 6, 7]


def thought(budget: int, tokens: int, crash: int = 0) -> list[int]:
    """What a model that would say 100, 101 and so on says under a budget. crash: a new engine after so many tokens."""
    output: list[int] = []
    holder = holder_of(budget, output)
    while len(output) < tokens:
        if len(output) == crash > 0:
            output = list(output)
            holder = holder_of(budget, output)
            resuming.catch_up(holder, holder._state[0], list(output))
            crash = 0
        holder.update_state([output], [])
        logits = torch.zeros(1, 400)
        logits[0, 100 + len(output)] = 10
        output.append(int(holder.apply_to_logits(logits, False, [[]]).argmax()))
    return output


def holder_of(budget: int, output: list[int]) -> ThinkingBudgetStateHolder:
    delimiters = SimpleNamespace(reasoning_start_token_ids=[1], reasoning_end_token_ids=END)
    holder = ThinkingBudgetStateHolder(delimiters, 4, 0, torch.device("cpu"), False)
    added = [(0, SimpleNamespace(thinking_token_budget=budget), [50, 1], output)]
    holder.sync_batch(BatchUpdate(batch_size=1, removed=[], added=added, moved=[]))
    return holder


@pytest.mark.parametrize("crash", range(1, 16))
def test_a_forced_end_of_the_trace_goes_on_at_the_token_where_it_was(crash):
    undisturbed = thought(6, 16)
    assert undisturbed[6:9] == END
    assert thought(6, 16, crash) == undisturbed
