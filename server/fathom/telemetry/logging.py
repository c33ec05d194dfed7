"""Logs: JSON lines for machines, columns on a terminal. Prompts, traces and keys are never logged.

Our own lines and those of libraries go through one handler on stderr. vLLM's lines, from all its processes, go to one
file instead (see engine_log_config): they are long, and the operator gets one clear line that names the file.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from fathom.settings import TelemetrySettings

_QUIET = ("uvicorn.access", "httpx", "huggingface_hub", "filelock", "asyncio", "alembic")


def configure(settings: TelemetrySettings) -> None:
    """Set up the logs of this process. Safe to call again."""
    handler = _Stderr()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_shared(), processors=_last(settings)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)  # the banner and our own lines say it better
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _is_news(line: logging.LogRecord) -> bool:
    """uvicorn complains of a stream that we leave because its client does not read."""
    return not str(line.msg).startswith("ASGI callable returned without completing")


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to whatever sys.stderr is at the time: a progress bar takes its place for a while."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def engine_log_config(folder: Path, name: str, settings: TelemetrySettings) -> tuple[Path, Path]:
    """Write the logging config that vLLM's processes read. Returns its path and the path of vLLM's log."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    log.write_text("")
    handlers: dict[str, Any] = {
        "file": {"class": "logging.FileHandler", "filename": str(log), "level": "INFO", "formatter": "line"}
    }
    if settings.engine_log_level != "off":
        level = settings.engine_log_level.upper()
        handlers["stderr"] = {"class": "logging.StreamHandler", "level": level, "formatter": "line"}
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(processName)s %(name)s: %(message)s"}},
        "handlers": handlers,
        "loggers": {
            name: {"handlers": list(handlers), "level": "INFO", "propagate": False} for name in ("vllm", "torch")
        },
    }
    path = folder / f"{name}-logging.json"
    path.write_text(json.dumps(config))
    return path, log


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]


def _last(settings: TelemetrySettings) -> list[Processor]:
    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
        if console
        else structlog.processors.JSONRenderer()
    )
    first = [_short_time] if console else [_event_first]
    return [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *first, renderer]


def _event_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    head = {name: event.pop(name) for name in ("timestamp", "level", "event") if name in event}
    return {**head, **event}


def _short_time(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["timestamp"] = str(event["timestamp"])[11:19]
    return event
