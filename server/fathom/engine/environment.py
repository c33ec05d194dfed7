"""The environment that vLLM reads when it is imported, and its children when they start. Set once in a process."""

import os
from pathlib import Path

from fathom.core.errors import StartupError
from fathom.engine import machine, nursery
from fathom.engine.machine import Choice
from fathom.settings import Settings
from fathom.telemetry.logging import engine_log_config

_made: list[tuple[list[Choice], Path]] = []


def set_up(settings: Settings) -> tuple[list[Choice], Path]:
    """Returns what was chosen, and vLLM's log. Where one is wanted, a nursery begins with it. Raises StartupError."""
    if not _made:
        _made.append(_set_up(settings))
    return _made[0]


def _set_up(settings: Settings) -> tuple[list[Choice], Path]:
    folder = settings.home / "logs"
    try:
        config, log = engine_log_config(folder, _log_name(settings), settings.telemetry)
    except OSError as error:
        raise StartupError(
            f"the engine's log cannot be written in {folder}: {error.strerror}; make it writable, or set FATHOM_HOME"
        ) from None
    os.environ["VLLM_LOGGING_CONFIG_PATH"] = str(config)
    choices = machine.choose(settings.engine)
    os.environ.update({choice.name: choice.value for choice in choices})
    if nursery.wanted(settings.engine, machine.device()):
        nursery.begin()
    return choices, log


def _log_name(settings: Settings) -> str:
    """Servers that share a FATHOM_HOME have different ports."""
    return f"engine-{settings.http.port or os.getpid()}"
