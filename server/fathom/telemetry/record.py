"""One log line a request: whoever handles it adds to the record, the outermost layer writes it."""

from contextvars import ContextVar

_record: ContextVar[dict[str, object] | None] = ContextVar("request_record", default=None)


def begin() -> dict[str, object]:
    """Open the record of this task (and of the tasks that it starts)."""
    record: dict[str, object] = {}
    _record.set(record)
    return record


def note(**fields: object) -> None:
    """Add to the open record, if there is one. Never prompts, traces or keys."""
    record = _record.get()
    if record is not None:
        record.update(fields)


def add(**counts: int) -> None:
    """Add to counts of the open record: one request may be several generations."""
    record = _record.get()
    if record is not None:
        for name, count in counts.items():
            so_far = record.get(name, 0)
            record[name] = count + (so_far if isinstance(so_far, int) else 0)
