"""Ids that sort by the time they were made: `resp_` and 32 hexadecimal digits, of which 12 are milliseconds since the
epoch, 4 count within a millisecond, and 16 are random."""

import secrets
import threading
import time

_lock = threading.Lock()
_last = 0


def new_id(kind: str) -> str:
    """`kind` and an underscore come first. Later ids of one process sort behind earlier ones, even if the clock is set
    back."""
    global _last
    with _lock:
        _last = max(_last + 1, (time.time_ns() // 1_000_000) << 16)
        return f"{kind}_{_last:016x}{secrets.token_hex(8)}"
