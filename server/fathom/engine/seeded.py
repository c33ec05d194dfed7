"""Seeded sampling on a CPU, which vLLM 0.32 does not survive (docs/adr/0008).

When a prompt is read in pieces, vLLM samples a token behind each piece, throws it away and winds the request's random
generator back by an offset. Generators of a CPU have none, and the engine dies. vLLM loads this in each of its
processes (entry point group vllm.general_plugins).
"""

import multiprocessing
from typing import Any

import torch

from fathom.engine.resuming import produced


class RewindableGenerator(torch.Generator):
    """Winds back to where it was marked: tokens are thrown away before the first that is kept."""

    _mark: torch.Tensor

    def get_offset(self) -> int:
        return 0

    def set_offset(self, offset: int) -> torch.Generator:
        self.set_state(self._mark)
        return self

    def mark(self) -> None:
        self._mark = self.get_state()

    def skip(self, tokens: int) -> None:
        """As if so many had been drawn: vLLM's CPU sampler takes one number for each."""
        for _ in range(tokens):
            torch.randint(0, 2**31, (1,), generator=self, dtype=torch.long)

    @classmethod
    def of(cls, generator: torch.Generator) -> "RewindableGenerator":
        """A generator that goes on where `generator` is."""
        rewindable = cls()
        rewindable.manual_seed(generator.initial_seed())
        rewindable.set_state(generator.get_state())
        rewindable.mark()
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
            request.generator.skip(len(produced(request.sampling_params)))
        if isinstance(request.generator, RewindableGenerator):  # new, or back after the batch had no room for it
            request.generator.mark()
        return add_request(batch, request)

    InputBatch.add_request = add_rewindable
