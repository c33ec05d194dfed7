"""What the nursery imports, and all that it does. Loaded by multiprocessing's fork server, before its first child.

Nothing may be started here that does not survive a fork: no thread, no OpenMP, no CUDA. Where one is, the nursery ends
and engines are spawned.
"""

import ctypes
import gc
import logging
import os
import signal
from importlib import import_module

from setproctitle import setproctitle

from fathom.engine import machine

_PR_SET_PDEATHSIG = 1
_ON_CPU = (
    "vllm.v1.worker.cpu_worker",  # wants to be the first one
    "vllm.v1.attention.backends.cpu_attn",
    "fathom.engine.in_process",
)
_ON_GPU = ("vllm.v1.worker.gpu_worker", "vllm.v1.executor.multiproc_executor")
_ANYWHERE = (
    "vllm.v1.engine.core",
    "vllm.v1.structured_output.backend_xgrammar",
    "vllm.model_executor.model_loader",
    "fathom.engine.plugin",
    "fathom.engine.linear",
    "fathom.engine.norms",
    "fathom.engine.nucleus",
    "fathom.engine.resuming",
    "fathom.engine.seeded",
)


def furnish() -> None:
    """Import, then rest. The server's end ends an import, too; later it closes the fork server's pipe."""
    for number in (signal.SIGINT, signal.SIGTERM):  # both are for the server, which ends its engines itself
        signal.signal(number, signal.SIG_IGN)
    setproctitle("fathom nursery")
    _die_with_parent(signal.SIGKILL)
    gc.disable()
    logging.disable(logging.WARNING)  # torch misses Triton, which a CPU does not need
    machine.load_libnuma()
    for name in (*(_ON_CPU if machine.device() == "cpu" else _ON_GPU), *_ANYWHERE):
        import_module(name)
    logging.disable(logging.NOTSET)
    gc.freeze()  # a look for garbage would copy every page that holds an object
    gc.enable()
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        raise SystemExit(f"fathom nursery: {threads} threads after the imports, and a fork keeps one")
    _die_with_parent(0)  # it is the thread that counts, and the one that began this may end before the server


def _die_with_parent(number: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


furnish()
