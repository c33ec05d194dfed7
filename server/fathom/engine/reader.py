"""One turn of one request: token ids in, events out. Holds all the state that a stream has outside of the engine."""

from collections.abc import Iterator, Sequence

from tokenizers import Tokenizer

from fathom.core.events import Event, Finished, FinishReason, TextDelta
from fathom.engine.detokenizer import Detokenizer, StopStrings
from fathom.engine.reasoning import Delimiter, Delta, ReasoningMachine


class TurnReader:
    """Reads the tokens of an answer.

    `budget`, `end_tokens`: how many tokens of trace the engine allows, and how many the end delimiter takes.
    `ids`: the tokens so far. `stopped`: a stop string was found, the request should be aborted.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompt_ids: Sequence[int],
        *,
        delimiters: tuple[Delimiter, Delimiter] | None,
        thinking: bool,
        stop: Sequence[str] = (),
        budget: int | None = None,
        end_tokens: int = 1,
    ) -> None:
        self.ids: list[int] = []
        self.stopped = False
        self._prompt_tokens = len(prompt_ids)
        self._end_token = 0
        self._answered = False
        self._most_reasoning = None if budget is None else budget + end_tokens
        self._budget_exhausted = False
        self._machine = ReasoningMachine(*delimiters, thinking=thinking) if delimiters else None
        markup = bool(delimiters) and any(each.token_id is None for each in delimiters or ())
        self._detokenizer = Detokenizer(tokenizer, prompt_ids, skip_special_tokens=not markup)
        self._stop = StopStrings(stop)

    @property
    def thinking(self) -> bool:
        return self._machine is not None and self._machine.thinking

    @property
    def answered(self) -> bool:
        """Whether a piece of the answer has come."""
        return self._answered

    def read(self, token_ids: Sequence[int], *, ended: bool = False) -> Iterator[Event]:
        """Take the next tokens. Neighbouring pieces of one kind come as one event.

        `ended`: the last token is the end-of-sequence token. It is no text, and it counts if nothing follows it.
        """
        self._end_token = int(ended)
        if ended:
            token_ids = token_ids[:-1]
        deltas: list[Delta] = []
        for token_id in token_ids:
            if self.stopped:
                break
            self.ids.append(token_id)
            deltas += self._read_one(token_id)
        return _merged(deltas)

    def finish(self, reason: FinishReason, cached_tokens: int = 0) -> Iterator[Event]:
        """The last pieces, and Finished."""
        if self._machine:
            yield from _merged(self._through_stop(self._machine.finish(cut=reason == "length" or self.stopped)))
        if rest := self._stop.flush():
            yield TextDelta(rest)
        yield Finished(
            "stop" if self._stop.hit else reason,
            prompt_tokens=self._prompt_tokens,
            completion_tokens=len(self.ids) + self._end_token,
            cached_tokens=cached_tokens,
            reasoning_tokens=self._machine.reasoning_tokens if self._machine else 0,
            budget_exhausted=self._budget_exhausted,
        )

    def _read_one(self, token_id: int) -> list[Delta]:
        text = self._detokenizer.step(token_id)
        if self._machine is None:
            return self._through_stop([TextDelta(text)] if text else [])
        was_thinking = self._machine.thinking
        deltas = self._machine.feed(token_id, text)
        if was_thinking and not self._machine.thinking and self._most_reasoning is not None:
            self._budget_exhausted |= self._machine.reasoning_tokens >= self._most_reasoning
        return self._through_stop(deltas)

    def _through_stop(self, deltas: list[Delta]) -> list[Delta]:
        passed: list[Delta] = []
        for delta in deltas:
            if not isinstance(delta, TextDelta):
                passed.append(delta)
            else:
                self._answered = True
                if text := self._stop.feed(delta.text):
                    passed.append(TextDelta(text))
        self.stopped = self._stop.hit is not None
        return passed


def _merged(deltas: list[Delta]) -> Iterator[Delta]:
    run: Delta | None = None
    for delta in deltas:
        if run is not None and type(run) is type(delta):
            run = type(delta)(run.text + delta.text)
        else:
            if run is not None:
                yield run
            run = delta
    if run is not None:
        yield run
