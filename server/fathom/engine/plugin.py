"""vLLM loads this in each of its processes (entry point group vllm.general_plugins)."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """An engine process ends when the process that started it does, even if that was killed without a word."""
    parent = multiprocessing.parent_process()
    if parent is None:  # the API process itself
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
