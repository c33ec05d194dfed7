"""Seeded sampling on a CPU, which vLLM 0.32 does not survive (docs/adr/0008).

When a prompt is read in pieces, vLLM samples a token behind each piece, throws it away and winds the request's random
generator back by an offset. Generators of a CPU have none, and the engine dies. vLLM loads this in each of its
processes (entry point group vllm.general_plugins).
"""

import multiprocessing
from typing import Any

import torch


class RewindableGenerator(torch.Generator):
    """Winds back to its seed: tokens are thrown away before the first that is kept."""

    def get_offset(self) -> int:
        return 0

    def set_offset(self, offset: int) -> torch.Generator:
        return self.manual_seed(self.initial_seed())

    @classmethod
    def of(cls, generator: torch.Generator) -> "RewindableGenerator":
        """A generator that goes on where `generator` is."""
        rewindable = cls()
        rewindable.manual_seed(generator.initial_seed())
        rewindable.set_state(generator.get_state())
        return rewindable


def make_generators_rewindable() -> None:
    """In the engine's own processes."""
    if multiprocessing.parent_process() is None:  # the API process
        return
    from vllm.v1.worker.gpu_input_batch import InputBatch

    add_request = InputBatch.add_request

    def add_rewindable(batch: InputBatch, request: Any) -> Any:
        if type(request.generator) is torch.Generator and request.generator.device.type == "cpu":
            request.generator = RewindableGenerator.of(request.generator)
        return add_request(batch, request)

    InputBatch.add_request = add_rewindable
