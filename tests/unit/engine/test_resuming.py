import json
from types import SimpleNamespace

import pytest
import torch
import xgrammar
from fathom.engine import resuming
from fathom.engine.resuming import produced, resumed
from transformers import PreTrainedTokenizerFast
from vllm import SamplingParams
from vllm.v1.request import Request
from vllm.v1.sample.logits_processor import BatchUpdate
from vllm.v1.sample.thinking_budget_state import ThinkingBudgetStateHolder
from vllm.v1.structured_output import StructuredOutputManager
from vllm.v1.structured_output.backend_xgrammar import XgrammarGrammar

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


TRACE = {"type": "any_text", "excludes": ["<|im_start|>"], "max_tokens": 5}
TAGGED = {"type": "tag", "begin": "", "content": TRACE, "end": "</end>"}
ANSWER = {"type": "sequence", "elements": [TAGGED, {"type": "json_schema", "json_schema": {"type": "object"}}]}


@pytest.fixture(scope="module")
def compiled(tokenizer: PreTrainedTokenizerFast) -> xgrammar.CompiledGrammar:
    """A trace of at most five tokens, its end spelled with several, and an object."""
    compiler = xgrammar.GrammarCompiler(xgrammar.TokenizerInfo.from_huggingface(tokenizer))
    return compiler.compile_structural_tag(json.dumps({"type": "structural_tag", "format": ANSWER}))


def grammar_of(compiled: xgrammar.CompiledGrammar) -> XgrammarGrammar:
    return XgrammarGrammar(compiled.tokenizer_info.vocab_size, xgrammar.GrammarMatcher(compiled), compiled)


def mask_of(grammar: XgrammarGrammar) -> list[int]:
    mask = xgrammar.allocate_token_bitmask(1, grammar.vocab_size)
    grammar.fill_bitmask(mask, 0)
    return mask[0].tolist()


@pytest.mark.parametrize("text", ["hello</end>{}", "hello world, the</end>{", "hello world, the</", "the sky</end> {"])
def test_a_grammar_goes_on_as_if_nothing_had_happened_wherever_its_engine_died(compiled, tokenizer, text):
    ids, undisturbed = tokenizer.encode(text, add_special_tokens=False), grammar_of(compiled)
    for died in range(len(ids)):
        expected = mask_of(undisturbed)
        resumed_one = grammar_of(compiled)
        resuming.advance(resumed_one, xgrammar.allocate_token_bitmask(1, resumed_one.vocab_size), "r", ids[:died])
        assert mask_of(resumed_one) == expected
        if not undisturbed.accept_tokens("r", [ids[died]]):
            break


def test_a_request_fails_whose_grammar_does_not_take_what_it_produced(monkeypatch, compiled, tokenizer):
    size = compiled.tokenizer_info.vocab_size
    backend = SimpleNamespace(allocate_token_bitmask=lambda many: xgrammar.allocate_token_bitmask(many, size))
    manager = SimpleNamespace(backend=backend)
    monkeypatch.setattr(StructuredOutputManager, "_create_grammar", lambda _manager, _request: grammar_of(compiled))
    resuming._in_grammar()
    ids = tokenizer.encode("x</end>no", add_special_tokens=False)
    with pytest.raises(ValueError, match="does not take"):
        StructuredOutputManager._create_grammar(manager, request(resumed(SamplingParams(), ids)))


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
