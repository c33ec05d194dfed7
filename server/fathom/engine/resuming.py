"""Requests that go on in a new engine where they were in one that died (docs/adr/0015).

vLLM can take a request out of its batch when memory is short and resume it later: it reads the prompt and what was
generated so far again, and knows which is which. A request that comes with the ids that it produced in an earlier life
is made to look like that, in each place that keeps its state: the scheduler, the model runner, the grammar and (see
seeded.py) the random numbers. So limits, penalties, budgets and grammars hold as if nothing had happened.

vLLM loads this in each of its processes (entry point group vllm.general_plugins).
"""

import multiprocessing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vllm.sampling_params import SamplingParams

_KEY = "fathom_produced"


def resumed(params: "SamplingParams", produced: list[int]) -> "SamplingParams":
    """`params` of a request that has produced these ids. Nothing of the prompt is reported again."""
    params = params.clone()
    params.prompt_logprobs = None
    params.extra_args = {**(params.extra_args or {}), _KEY: list(produced)}
    return params


def produced(params: Any) -> list[int]:
    """What a request with these sampling (or pooling) parameters brings from an earlier life."""
    extra = getattr(params, "extra_args", None) or {}
    return list(extra.get(_KEY, ()))


def take_resumed_requests() -> None:
    """In the engine's own processes."""
    if multiprocessing.parent_process() is None:  # the API process
        return
    _in_scheduler()
    _in_grammar()
    _in_model_runner()
    _in_thinking_budget()


def _in_scheduler() -> None:
    from vllm.v1.request import Request

    make = Request.from_engine_core_request

    def make_resumed(request: Any, block_hasher: Any) -> Request:
        made = make(request, block_hasher)
        if ids := produced(request.sampling_params):
            made.append_output_token_ids(ids)
        return made

    Request.from_engine_core_request = staticmethod(make_resumed)


def _in_grammar() -> None:
    from vllm.v1.structured_output import StructuredOutputManager

    create = StructuredOutputManager._create_grammar

    def create_advanced(manager: StructuredOutputManager, request: Any) -> Any:
        grammar = create(manager, request)
        if ids := produced(request.sampling_params):
            advance(grammar, manager.backend.allocate_token_bitmask(1), request.request_id, ids)
        return grammar

    StructuredOutputManager._create_grammar = create_advanced


def advance(grammar: Any, bitmask: Any, request_id: str, ids: list[int]) -> None:
    """As it went before: xgrammar counts a trace's budget when it is asked which tokens may follow, and not when it is
    told which one did. Raises ValueError if it does not take them."""
    for token_id in ids:
        if grammar.is_terminated():  # what follows is free
            return
        grammar.fill_bitmask(bitmask, 0)
        if not grammar.accept_tokens(request_id, [token_id]):
            raise ValueError("the grammar does not take what the request has produced")


def _in_model_runner() -> None:
    """The second generation of model runners is told by the scheduler; the first takes every new request for empty."""
    from vllm.v1.worker.gpu_input_batch import InputBatch

    add_request = InputBatch.add_request

    def add_resumed(batch: InputBatch, request: Any) -> Any:
        if not request.output_token_ids:
            request.output_token_ids += produced(request.sampling_params)
        return add_request(batch, request)

    InputBatch.add_request = add_resumed


def _in_thinking_budget() -> None:
    """vLLM knows from the prompt alone where a trace stands; what was produced is shown to it as it once came, so that
    a forced end of several tokens goes on at the token where it was."""
    from vllm.v1.sample.thinking_budget_state import ThinkingBudgetStateHolder

    sync_batch = ThinkingBudgetStateHolder.sync_batch

    def sync_resumed(holder: ThinkingBudgetStateHolder, update: Any) -> None:
        sync_batch(holder, update)
        for index, params, _, output in update.added if update else ():
            if produced(params) and index in holder._state:
                catch_up(holder, holder._state[index], list(output))

    ThinkingBudgetStateHolder.sync_batch = sync_resumed


def catch_up(holder: Any, state: dict[str, Any], output: list[int]) -> None:
    """All but the last token of `output`, which the next step shows. Only the end delimiter needs each step."""
    for length in range(max(1, len(output) - len(holder.think_end_token_ids)), len(output)):
        state["output_tok_ids"] = output[:length]
        state["force_index"] = []
        holder._update_think_state(state)
    state["output_tok_ids"] = output
