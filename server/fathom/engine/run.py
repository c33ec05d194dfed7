"""One request while it is in the engine: its outputs as they come, and how it ended."""

from collections.abc import AsyncGenerator

from vllm.logprobs import PromptLogprobs
from vllm.outputs import STREAM_FINISHED, RequestOutput
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.engine.output_processor import RequestOutputCollector

from fathom.core.errors import EngineUnavailable, ServiceError
from fathom.core.events import Event, FinishReason
from fathom.engine.reader import TurnReader


class Run:
    """`finished`: the engine is done with it. `reason`, `cached_tokens`: known once something has come."""

    def __init__(self, queue: RequestOutputCollector) -> None:
        self.finished = False
        self.reason: FinishReason = "stop"
        self.cached_tokens = 0
        self._queue = queue
        self._ahead: RequestOutput | None = None

    async def prompt_logprobs(self) -> PromptLogprobs | None:
        """Waits for the first output; it is read again by outputs()."""
        async for output in self.outputs():
            self._ahead = output
            return output.prompt_logprobs
        return None

    async def outputs(self) -> AsyncGenerator[RequestOutput]:
        """What the engine makes, as it comes; merged by vLLM where the reader is slow."""
        if self._ahead:
            output, self._ahead = self._ahead, None
            yield output
        try:
            while not self.finished:
                output = self._queue.get_nowait() or await self._queue.get()
                assert isinstance(output, RequestOutput)
                self.finished = output.finished
                if output is not STREAM_FINISHED:
                    yield output
        except EngineDeadError as error:
            self.finished = True
            raise EngineUnavailable("The engine died while it was answering.", retry_after=10) from error

    async def read(self, reader: TurnReader) -> AsyncGenerator[Event]:
        """The outputs through a reader, until their end or a stop string."""
        async for output in self.outputs():
            completion = output.outputs[0]
            ended = self._note(completion.finish_reason)
            self.cached_tokens = output.num_cached_tokens or self.cached_tokens
            for event in reader.read(completion.token_ids, completion.logprobs, ended=ended):
                yield event
            if reader.stopped:
                return

    def _note(self, finish_reason: str | None) -> bool:
        """Whether the model ended its turn by itself."""
        match finish_reason:
            case None:
                return False
            case "stop" | "length":
                self.reason = finish_reason
                return finish_reason == "stop"
            case other:
                raise ServiceError(f"The engine ended the request early: {other}.")
