"""How fast this machine reads its memory: what a decode step, which reads every weight once, cannot beat."""

import ctypes
import mmap
import os
import time
from concurrent.futures import ThreadPoolExecutor

from fathom.models.memory import available_memory

_EACH = 64 << 20  # bytes that each core reads in one pass; together more than caches hold
_PASSES = 8
_LIMIT = 0.5  # seconds, after which no other pass is begun


def measure() -> float:
    """Bytes/s of all cores of this process together: the best of a few passes, within a second. What else runs on the
    machine takes from it."""
    cores = len(os.sched_getaffinity(0))
    each = min(_EACH, available_memory() // (8 * cores))
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE  # real pages, without a fault for each
    with ThreadPoolExecutor(cores) as pool:
        buffers = list(pool.map(lambda _: mmap.mmap(-1, each, flags=flags), range(cores)))
        passes = _timed(pool, buffers)
    return cores * each / min(passes)


def _timed(pool: ThreadPoolExecutor, buffers: list[mmap.mmap]) -> list[float]:
    """Seconds of each pass. memchr is libc's fastest reader, and ctypes lets go of Python's lock for it."""
    search = ctypes.CDLL(None).memchr
    search.argtypes, search.restype = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t], ctypes.c_void_p
    length = len(buffers[0])
    views = [ctypes.c_char.from_buffer(buffer) for buffer in buffers]
    addresses = [ctypes.addressof(view) for view in views]
    passes: list[float] = []
    while len(passes) < _PASSES and sum(passes) < _LIMIT:
        begun = time.perf_counter()
        list(pool.map(lambda address: search(address, 1, length), addresses))  # the pages are zeros: it reads them all
        passes.append(time.perf_counter() - begun)
    return passes
