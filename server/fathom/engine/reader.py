"""One choice of one request: token ids in, events out. Holds all the state that a stream has outside of the engine.

Text goes through stages: the machine tells trace from answer, the tool reader tells calls from the rest of the answer,
stop strings end what is left of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from fathom.core.events import Event, Finished, FinishReason, Piece, ReasoningDelta, TextDelta, Tokens, ToolCallStart
from fathom.core.generation import Sampling
from fathom.engine.detokenizer import Detokenizer, StopStrings, TokenBytes
from fathom.engine.logprobs import EngineLogprob, TokenLog, token_logprob

Alternatives = Sequence[Mapping[int, EngineLogprob] | None] | None


class Machine(Protocol):
    """Tells trace from answer, token by token; a family's machine may tell calls, too."""

    reasoning_tokens: int

    @property
    def thinking(self) -> bool: ...

    def feed(self, token_id: int, text: str) -> Sequence[Piece]: ...

    def finish(self, *, cut: bool) -> Sequence[Piece]: ...


class Calls(Protocol):
    """Tells calls from the rest of an answer."""

    def feed(self, text: str, token_id: int) -> Sequence[Piece]: ...

    def finish(self, *, cut: bool) -> Sequence[Piece]: ...


class TurnReader:
    """Reads the tokens of a choice.

    most_reasoning: reasoning tokens, delimiters included, of a trace that used up its budget.
    `ids`: the tokens so far. `stopped`: a stop string was found, or a call too many: the request should be aborted.
    `answered`: a piece of the answer has come.
    """

    def __init__(
        self,
        detokenizer: Detokenizer,
        token_bytes: TokenBytes,
        *,
        machine: Machine | None = None,
        calls: Calls | None = None,
        sampling: Sampling | None = None,
        most_reasoning: int | None = None,
        parallel_calls: bool = True,
        report_ids: bool = False,
    ) -> None:
        self.ids: list[int] = []
        self.stopped = self.answered = False
        self._detokenizer, self._token_bytes = detokenizer, token_bytes
        self._machine, self._calls, self._most_reasoning = machine, calls, most_reasoning
        self._parallel_calls, self._report_ids = parallel_calls, report_ids
        sampling = sampling or Sampling()
        self._stop, self._stops = StopStrings(sampling.stop), bool(sampling.stop)
        self._most_alternatives = sampling.logprobs or 0
        self._log = TokenLog() if sampling.logprobs is not None else None
        self._plain = not (machine or calls or sampling.stop or self._log or report_ids)
        self._end: tuple[int, ...] = ()  # the token that ended the turn, unless something followed
        self._called = self._budget_exhausted = False

    @property
    def may_stop(self) -> bool:
        """Whether it may be `stopped` before the engine ends."""
        return self._stops or not self._parallel_calls

    @property
    def thinking(self) -> bool:
        return self._machine is not None and self._machine.thinking

    def read(
        self, token_ids: Sequence[int], alternatives: Alternatives = None, *, ended: bool = False
    ) -> Sequence[Event]:
        """Take the next tokens. Neighbouring pieces of one kind come as one event.

        alternatives: vLLM's logprobs, one mapping a token. ended: the last token ended the turn. It is no text, and it
        counts if nothing follows it.
        """
        if self._plain and len(token_ids) == 1 and not ended:
            return self._read_plain(token_ids[0])
        read: list[int] = []
        pieces: list[Piece] = []
        for at, token_id in enumerate(token_ids[:-1] if ended else token_ids):
            if self.stopped:
                break
            read.append(token_id)
            pieces += self._read_one(token_id, alternatives[at] if alternatives else None)
        ended = ended and not self.stopped
        self._end = tuple(token_ids[-1:]) if ended else ()
        self.ids += read
        if not (self._report_ids and read):
            return self._out(pieces)
        return [Tokens(tuple(read)), *self._out(pieces)]

    def _read_plain(self, token_id: int) -> Sequence[Event]:
        """The same for what most requests are, a token of an answer that nothing is looked for in."""
        self.ids.append(token_id)
        self._end = ()
        if text := self._detokenizer.step(token_id):
            self.answered = True
            return (TextDelta(text),)
        return ()

    def finish(self, reason: FinishReason, prompt_tokens: int, cached_tokens: int = 0) -> Iterator[Event]:
        """The last pieces, and Finished."""
        cut = reason == "length" or self.stopped
        reason = "stop" if self.stopped else reason
        trace_cut = reason == "length" and self.thinking
        pieces: list[Piece] = []
        if self._machine:
            for piece in self._machine.finish(cut=cut):
                pieces += self._answer(piece, -1)
        if self._calls:
            pieces += self._calls.finish(cut=cut)
        pieces = [*self._through_stop(pieces)]
        if rest := self._stop.flush():
            pieces.append(TextDelta(rest))
        yield from self._out(pieces)
        if self._report_ids and self._end:
            yield Tokens(self._end)
        reason = "stop" if self._stop.hit else reason
        yield Finished(
            "tool_calls" if self._called and reason == "stop" else reason,
            prompt_tokens=prompt_tokens,
            completion_tokens=len(self.ids) + len(self._end),
            cached_tokens=cached_tokens,
            reasoning_tokens=self._machine.reasoning_tokens if self._machine else 0,
            budget_exhausted=self._budget_exhausted,
            trace_cut=trace_cut,
            stop=self._stop.hit,
        )

    def _read_one(self, token_id: int, alternatives: Mapping[int, EngineLogprob] | None) -> Sequence[Piece]:
        text = self._detokenizer.step(token_id)
        if self._log and alternatives:
            self._log.push(token_logprob(token_id, alternatives, self._most_alternatives, self._token_bytes), text)
        was_thinking = self.thinking
        if self._machine is None:
            pieces = self._answer(TextDelta(text), token_id) if text else []
        else:
            pieces = [each for piece in self._machine.feed(token_id, text) for each in self._answer(piece, token_id)]
        if was_thinking and not self.thinking and self._machine and self._most_reasoning is not None:
            self._budget_exhausted |= self._machine.reasoning_tokens >= self._most_reasoning
        return self._through_stop(pieces)

    def _answer(self, piece: Piece, token_id: int) -> Sequence[Piece]:
        """An answer's text goes through the tool reader."""
        if isinstance(piece, ReasoningDelta):
            return [piece]
        self.answered = True
        if self._calls and isinstance(piece, TextDelta):
            return self._calls.feed(piece.text, token_id)
        return [piece]

    def _through_stop(self, pieces: Sequence[Piece]) -> Sequence[Piece]:
        if len(pieces) == 1 and isinstance(pieces[0], ReasoningDelta):
            return pieces
        passed: list[Piece] = []
        for piece in pieces:
            if self.stopped:
                break
            match piece:
                case TextDelta(text):
                    if safe := self._stop.feed(text):
                        passed.append(piece if safe == text else TextDelta(safe))
                    self.stopped = self._stop.hit is not None
                case ToolCallStart(call=call) if call > 0 and not self._parallel_calls:
                    self.stopped = True
                case _:
                    self._called |= isinstance(piece, ToolCallStart)
                    passed.append(piece)
        return passed

    def _out(self, pieces: Sequence[Piece]) -> Sequence[Piece]:
        whole = _merged(pieces) if len(pieces) > 1 else pieces
        return [self._with_logprobs(piece, self._log) for piece in whole] if self._log else whole

    def _with_logprobs(self, piece: Piece, log: TokenLog) -> Piece:
        return replace(piece, logprobs=log.take(piece.text)) if isinstance(piece, TextDelta | ReasoningDelta) else piece


def _merged(pieces: Sequence[Piece]) -> Sequence[Piece]:
    """Neighbouring pieces of trace or of answer as one."""
    merged: list[Piece] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        if isinstance(last, TextDelta | ReasoningDelta) and type(last) is type(piece):
            merged[-1] = type(last)(last.text + piece.text)
        else:
            merged.append(piece)
    return merged
