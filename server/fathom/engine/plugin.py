"""What each of vLLM's processes does besides its work (entry point group vllm.general_plugins)."""

import multiprocessing
import os
import signal
import threading
from functools import cache


@cache
def end_with_parent() -> None:
    """An engine process ends when the process that started it does, even if that was killed without a word."""
    parent = multiprocessing.parent_process()
    if parent is None:  # the API process itself
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def belong_to_server() -> None:
    """It ends with the server, and not with a signal that Ctrl+C or a service manager sends to all processes: the
    server drains then, and needs its engine."""
    if multiprocessing.parent_process() is None:
        return
    end_with_parent()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
