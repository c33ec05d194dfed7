"""Events to the numbered frames of a response's stream, and to the response itself.

Each run of pieces of one kind is an item: it is added, grows, and is done before the next one is added.
"""

import time
from collections.abc import Iterable
from typing import Any

from fathom.api.fields import printable
from fathom.api.openai.responses.outputs import CallOutput, Entry, MessageOutput, Output, Status, entry
from fathom.api.openai.responses.reasoning_output import ReasoningOutput, TraceOptions
from fathom.core.errors import BadRequest, ServiceError
from fathom.core.events import Event, Finished, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStart
from fathom.serving.responses.draft import Frame

Json = dict[str, Any]

_QUEUED = "queued"
_MOST_TEXT = 1000


class ResponseTranscript:
    """`body`: the response as it begins, without output. `number`: of the first frame."""

    def __init__(self, body: Json, trace: TraceOptions, number: int = 0) -> None:
        self._body, self._trace, self._number = body, trace, number
        self._outputs: list[Output] = []
        self._open: Output | None = None
        self._terminal = False
        self.error: ServiceError | None = None

    @property
    def terminal(self) -> bool:
        return self._terminal

    def created(self) -> list[Frame]:
        entries = [self._whole("response.created")]
        if self._body["status"] == _QUEUED:
            entries.append(self._whole("response.queued"))
        return self._frames(entries)

    def started(self) -> list[Frame]:
        self._body["status"] = "in_progress"
        return self._frames([self._whole("response.in_progress")])

    def take(self, event: Event) -> list[Frame]:
        match event:
            case TextDelta():
                if isinstance(self._open, MessageOutput):
                    return self._frames(self._open.take(event))
                message = MessageOutput(len(self._outputs))
                return self._frames([*self._begin(message), *message.take(event)])
            case ReasoningDelta():
                if isinstance(self._open, ReasoningOutput):
                    return self._frames(self._open.take(event))
                trace = ReasoningOutput(len(self._outputs), self._trace)
                return self._frames([*self._begin(trace), *trace.take(event)])
            case ToolCallStart():
                return self._frames(self._begin(CallOutput(len(self._outputs), event.id, event.name)))
            case ToolCallDelta():
                assert isinstance(self._open, CallOutput), "arguments follow the start of their call"
                return self._frames(self._open.take(event))
            case Finished():
                return self._frames(self._finish(event))
            case _:
                return []

    def fail(self, error: ServiceError) -> list[Frame]:
        self.error = error
        return self._frames(
            self._end("failed", error={"code": _code(error), "message": printable(error.message, _MOST_TEXT)})
        )

    def cancel(self) -> list[Frame]:
        return self._frames(self._end("cancelled"))

    def body(self) -> Json:
        return {**self._body, "output": [each.kept() for each in self._outputs]}

    def shown(self) -> Json:
        """The response for the client that made it: with its trace, whatever is kept of that."""
        return {**self._body, "output": [each.item() for each in self._outputs]}

    def _begin(self, output: Output) -> list[Entry]:
        closing = self._close("completed")
        self._outputs.append(output)
        self._open = output
        return [*closing, *output.added()]

    def _close(self, status: Status) -> list[Entry]:
        closed, self._open = self._open, None
        return closed.done(status) if closed else []

    def _finish(self, event: Finished) -> list[Entry]:
        self._body["usage"] = _usage(event)
        if event.reason == "length":
            return self._end("incomplete", incomplete_details={"reason": "max_output_tokens"})
        return self._end("completed", completed_at=int(time.time()))

    def _end(self, status: str, **changes: Any) -> list[Entry]:
        closing = self._close("completed" if status == "completed" else "incomplete")
        self._body |= {"status": status, **changes}
        self._terminal = True
        return [*closing, self._whole(f"response.{status}")]

    def _whole(self, kind: str) -> Entry:
        shown, kept = self.shown(), self.body()
        return entry(kind, {"response": shown}, None if kept == shown else {"response": kept})

    def _frames(self, entries: Iterable[Entry]) -> list[Frame]:
        frames = []
        for kind, shown, kept in entries:
            tail = b',"sequence_number":%d}' % self._number
            data = shown + tail
            frames.append(Frame(kind, self._number, data, data if kept is shown else kept and kept + tail))
            self._number += 1
        return frames


def _usage(event: Finished) -> Json:
    return {
        "input_tokens": event.prompt_tokens,
        "input_tokens_details": {"cached_tokens": event.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": event.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": event.reasoning_tokens},
        "total_tokens": event.prompt_tokens + event.completion_tokens,
    }


def _code(error: ServiceError) -> str:
    """OpenAI's code for it; it has few."""
    return "invalid_prompt" if isinstance(error, BadRequest) else "server_error"
