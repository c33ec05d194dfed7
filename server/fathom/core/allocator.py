"""What glibc's allocator keeps of memory that was freed. Other C libraries have no such calls, and these do nothing
there."""

import ctypes

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h
_LARGE = 1 << 20


def give_large_back() -> None:
    """From now on, what takes a MiB or more goes back as soon as it is freed. By itself glibc stops doing so with the
    first that is freed, up to 32 MiB (mallopt(3)): large bodies then leave holes that are never given back."""
    if tune := getattr(ctypes.CDLL(None), "mallopt", None):
        tune(_MMAP_THRESHOLD, _LARGE)


def give_back() -> None:
    """What was freed until now: some MiB after a start, in milliseconds."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
