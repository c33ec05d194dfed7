"""The short way's beginning: an output that is nothing but tokens needs no object of vLLM's (docs/adr/0023).

For each request and step vLLM makes a RequestOutput, a CompletionOutput and what is around them. While a stream waits,
all that it wants of them is the list of token ids that EngineCore sent.
"""

from collections.abc import Sequence

from vllm.v1.engine import EngineCoreOutput
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.output_processor import OutputProcessorOutput, RequestState
from vllm.v1.metrics.stats import IterationStats

from fathom.engine.bell import Bell


def take_deltas(llm: AsyncLLM) -> None:
    """What is more than tokens, or not waited for, is made into objects as before; vLLM's metrics count all of it."""
    processor = llm.output_processor
    process = processor.process_outputs

    def process_outputs(
        outputs: Sequence[EngineCoreOutput],
        timestamp: float | None = None,
        stats: IterationStats | None = None,
        weight_version: str | None = None,
    ) -> OutputProcessorOutput:
        rest = []
        for output in outputs:
            state = processor.request_states.get(output.request_id)
            bell = state.queue.ready if state and state.queue else None
            if state is None or not isinstance(bell, Bell):
                rest.append(output)
            elif _only_tokens(output, state) and bell.give(output.new_token_ids):
                if weight_version is not None:
                    state.track_weight_version(weight_version)
                state.detokenizer.token_ids += output.new_token_ids  # of which vLLM counts how many there are
                if stats is not None:
                    stats.update_from_output(
                        output, timestamp, False, state.stats, processor.lora_states, state.lora_name
                    )
            else:
                bell.keep()
                rest.append(output)
        return process(rest, timestamp, stats, weight_version)

    processor.process_outputs = process_outputs


def _only_tokens(output: EngineCoreOutput, state: RequestState) -> bool:
    """Of the only choice of a request, behind its first output and before its last."""
    return (
        output.finish_reason is None
        and not state.is_prefilling
        and state.parent_req is None
        and state.stream_interval == 1
        and state.logprobs_processor.num_logprobs is None
        and output.pooling_output is None
        and output.routed_experts is None
        and output.new_sampling_mask is None
        and output.kv_transfer_params is None
        and output.ec_transfer_params is None
    )
