"""One request while it is in the engine, and in the engine that comes after a crash: its outputs, and how it ended."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from vllm import SamplingParams
from vllm.exceptions import VLLMClientError
from vllm.inputs.engine import TokensInput
from vllm.logprobs import PromptLogprobs
from vllm.lora.request import LoRARequest
from vllm.outputs import STREAM_FINISHED, CompletionOutput, RequestOutput
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.engine.output_processor import RequestOutputCollector

from fathom.core.errors import BadRequest, EngineCrashed, ServiceError
from fathom.core.events import Event, FinishReason
from fathom.core.shortcut import Shortcut
from fathom.engine.bell import Bell, Write
from fathom.engine.core import CRASHED_AGAIN, Core
from fathom.engine.reader import TurnReader
from fathom.engine.resuming import resumed
from fathom.telemetry import metrics, record

REFUSED = (VLLMClientError, ValueError)
"""What vLLM raises for a request that it does not take."""

_aborts: set[asyncio.Task[None]] = set()


class Run:
    """`finished`: the engine is done with it. `reason`, `cached_tokens`: known once something has come. `crashes`: of
    the engine with it inside."""

    def __init__(
        self,
        core: Core,
        request_id: str,
        prompt: TokensInput,
        params: SamplingParams,
        lora: LoRARequest | None,
    ) -> None:
        self.finished = False
        self.reason: FinishReason = "stop"
        self.cached_tokens = 0
        self.crashes = 0
        self._core, self._id, self._prompt, self._params, self._lora = core, request_id, prompt, params, lora
        self._produced: list[int] = []
        self._llm: AsyncLLM
        self._queue: RequestOutputCollector
        self._bell: Bell
        self._ahead: RequestOutput | None = None
        self._given: list[int] = []
        self._short: tuple[Shortcut, TurnReader] | None = None

    def shorten(self, shortcut: Shortcut, reader: TurnReader) -> None:
        """While outputs() waits, what comes may go through the reader and the shortcut, and is none of its outputs."""
        self._short = shortcut, reader

    async def begin(self) -> None:
        """Give it to the engine, with what it has produced so far. Raises BadRequest."""
        params = resumed(self._params, self._produced) if self._produced else self._params
        while True:
            self._llm = await self._core.up()
            try:
                self._queue = await self._llm.add_request(self._id, self._prompt, params, lora_request=self._lora)
                self._bell = self._queue.ready = Bell(self._core.rung, self)
                return
            except EngineDeadError:  # it was not in there yet
                continue
            except REFUSED as error:
                raise refusal(error) from None

    def leave(self) -> None:
        """It is aborted if the engine is not done with it. In a task: we may be in the middle of being cancelled."""
        if not self.finished and self._core.lives(self._llm):
            abort = asyncio.create_task(self._llm.abort(self._queue.request_id, internal=True))
            _aborts.add(abort)
            abort.add_done_callback(_aborts.discard)
        self._queue.close()
        self._short = self._bell.listener = None

    async def prompt_logprobs(self) -> PromptLogprobs | None:
        """Waits for the first output; it is read again by outputs()."""
        async for output in self.outputs():
            self._ahead = output
            return output.prompt_logprobs
        return None

    async def outputs(self) -> AsyncGenerator[RequestOutput]:
        """What the engine makes, as it comes; merged by vLLM where the reader is slow. Raises EngineCrashed if it died
        twice."""
        if self._ahead:
            output, self._ahead = self._ahead, None
            yield output
        while not self.finished:
            try:
                output = self._queue.get_nowait()
                while output is None:
                    await self._bell.rings()
                    output = self._queue.get_nowait()
            except EngineDeadError:
                await self._go_on()
                continue
            except Exception:  # whatever broke vLLM's output loop is handed to every request, and ends that engine
                if self._core.lives(self._llm):
                    raise
                await self._go_on()
                continue
            assert isinstance(output, RequestOutput)
            if output.finished and output.outputs and output.outputs[0].finish_reason == "abort":
                self._core.lose(self._llm)  # nobody asked for that here: it is on its way out
                await self._go_on()
                continue
            self.finished = output.finished
            if output is not STREAM_FINISHED:
                if not self._produced:  # the prompt's, not what a new engine has of prompt and output
                    self.cached_tokens = output.num_cached_tokens or 0
                self._produced += output.outputs[0].token_ids
                yield output

    def give(self, ids: list[int]) -> bool:
        """Tokens on their way by the shortcut, behind what was given before. False if they have to go the long way."""
        if self._given:
            self._given += ids
        elif self._short and self._short[0].open and self._queue.output is None:
            self._given = ids
        else:
            return False
        return True

    def keep(self) -> None:
        """An error that is there already stays alone, as in vLLM: the next engine makes anew what was not read."""
        if self._given:
            completion = CompletionOutput(0, "", self._given, None, None)
            self._given = []
            self._queue.put(
                RequestOutput(self._id, None, None, None, [completion], False, num_cached_tokens=self.cached_tokens)
            )

    def take(self) -> Write | None:
        """What has come, on its way by the shortcut. Ends and errors never take that."""
        if self._given and self._queue.output is None and self._short and self._short[0].open:
            ids, self._given = self._given, []
            self._produced += ids
            return self._short[0].take(self._short[1].read(ids, None))
        self.keep()
        output = self._queue.output
        if self._short is None or not isinstance(output, RequestOutput) or output.finished:
            return None
        shortcut, reader = self._short
        if not shortcut.open:
            return None
        self._queue.output = None
        completion = output.outputs[0]
        self._produced += completion.token_ids
        return shortcut.take(reader.read(completion.token_ids, completion.logprobs))

    def fail(self, error: Exception) -> None:
        """Whoever waits for outputs gets this one."""
        self._queue.put(error)

    def read(self, reader: TurnReader, output: RequestOutput) -> Sequence[Event]:
        """One of the outputs through a reader; the last one that counts, if that has stopped."""
        completion = output.outputs[0]
        ended = self._note(completion.finish_reason)
        return reader.read(completion.token_ids, completion.logprobs, ended=ended)

    async def _go_on(self) -> None:
        self.crashes += 1
        record.add(crashes=1)
        if self.crashes > 1:
            self.finished = True
            raise CRASHED_AGAIN.with_traceback(None)
        await self.begin()

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


def refusal(error: Exception) -> BadRequest:
    """One of REFUSED, as the client is told."""
    return BadRequest(str(error), param=getattr(error, "parameter", None))


@asynccontextmanager
async def running(
    core: Core, request_id: str, prompt: TokensInput, params: SamplingParams, lora: LoRARequest | None = None
) -> AsyncGenerator[Run]:
    """A request in the engine. It is aborted if the block is left before its end. Raises BadRequest."""
    run = Run(core, request_id, prompt, params, lora)
    await run.begin()
    outcome = "aborted"  # what it is when nobody says otherwise: the client went away
    try:
        yield run
        outcome = "finished"
    except EngineCrashed:
        outcome = "crashed_again"
        raise
    except ServiceError:
        outcome = "failed"
        raise
    finally:
        run.leave()
        if run.crashes:
            metrics.REQUESTS_REPLAYED.labels(outcome=outcome).inc()
