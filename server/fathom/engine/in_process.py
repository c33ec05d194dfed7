"""The model in EngineCore's own process, on a CPU (docs/adr/0020).

vLLM gives every CPU worker a process, since OpenMP reads its threads and cores from the environment once. That is early
enough in EngineCore, which computes nothing before it makes its worker.
"""

import os
from typing import Any

import torch
from vllm.utils.ompmultiprocessing import OMPProcessManager
from vllm.v1.executor.uniproc_executor import UniProcExecutor

from fathom.engine.left_out import Later

_PARALLEL = 1 << 20  # elements; torch gives a few thousand to one thread


class InProcessExecutor(UniProcExecutor):  # type: ignore[misc]
    """For one worker. Its thread, the first of OpenMP's, keeps to one core while it computes."""

    def _init_executor(self) -> None:
        from fathom.engine.straight import go_straight  # brings vLLM's layers, which the API process does not need

        if isinstance(self.vllm_config.quant_config, Later):
            self.vllm_config.quant_config = self.vllm_config.quant_config.read()
        everywhere = os.sched_getaffinity(0)
        with OMPProcessManager(self.vllm_config).configure_omp_envs(rank=0, local_rank=0):
            super()._init_executor()
            go_straight(self.driver_worker.get_model(), self.vllm_config)
            torch.zeros(_PARALLEL).add_(1)  # OpenMP starts its threads with the first work for several, and binds them
        self._own: set[int] | None = os.sched_getaffinity(0)
        os.sched_setaffinity(0, everywhere)  # EngineCore's other threads are started by this one now, and inherit it

    def execute_model(self, *args: Any, **kwargs: Any) -> Any:
        if self._own:
            os.sched_setaffinity(0, self._own)
            self._own = None
        return super().execute_model(*args, **kwargs)
