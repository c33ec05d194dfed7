"""One answer of a benchmark, read as it streams: when what came, and whether it was trace or answer."""

from dataclasses import dataclass, field

from fathom.cli.wire import Choice, Frame, Frames, NoAnswer, Usage
from fathom.engine.scanner import Found, Scanner

_OPEN, _CLOSE = "<think>", "</think>"


@dataclass(slots=True)
class Answer:
    """Times in seconds since it was asked for. first: to the first text of any kind; first_answer: to the first text of
    the answer that is not blank; gaps: from each chunk with text to the next; seconds: to the end. usage: as the server
    told it. reason: why it ended."""

    first: float | None = None
    first_answer: float | None = None
    last: float = 0.0
    seconds: float = 0.0
    gaps: list[float] = field(default_factory=list)
    trace_chunks: int = 0
    answer_chunks: int = 0
    usage: Usage = field(default_factory=Usage)
    reason: str | None = None

    @property
    def chunks(self) -> int:
        return self.trace_chunks + self.answer_chunks

    @property
    def counted(self) -> bool:
        """By the server; else tokens are chunks here."""
        return self.usage.completion_tokens is not None

    @property
    def tokens(self) -> int:
        return self.chunks if self.usage.completion_tokens is None else self.usage.completion_tokens

    @property
    def trace_counted(self) -> bool:
        """Some servers say 0 of every trace, and most say nothing."""
        return bool(self.usage.reasoning_tokens) or not self.trace_chunks

    @property
    def trace_tokens(self) -> int:
        """As the server told them, else by the trace's share of the chunks."""
        if self.trace_counted:
            return self.usage.reasoning_tokens or 0
        return round(self.tokens * self.trace_chunks / self.chunks)


class Reader:
    """Takes a stream in pieces of any size, with the time of each in seconds since it was asked for."""

    def __init__(self) -> None:
        self.answer = Answer()
        self._frames = Frames()
        self._content = Content()

    @property
    def done(self) -> bool:
        return self._frames.done

    def feed(self, piece: bytes, now: float) -> None:
        """Raises NoAnswer."""
        for frame in self._frames.feed(piece):
            self._take(frame, now)

    def end(self, now: float) -> Answer:
        """No more will come. Raises NoAnswer where that is too early."""
        if not self.done and self.answer.reason is None:
            raise NoAnswer("the stream ended before its answer did")
        self.answer.seconds = now
        return self.answer

    def _take(self, frame: Frame, now: float) -> None:
        self.answer.usage = frame.usage or self.answer.usage
        for choice in frame.choices:
            self._take_choice(choice, now)

    def _take_choice(self, choice: Choice, now: float) -> None:
        answer = self.answer
        answer.reason = choice.finish_reason or answer.reason
        if choice.delta.trace:
            self._content.apart()
            answer.trace_chunks += 1
            self._note(now)
        if text := choice.delta.content:
            self._take_content(text, now)

    def _take_content(self, text: str, now: float) -> None:
        answer, content = self.answer, self._content
        answers = content.feed(text)
        if content.was_trace:
            answer.trace_chunks, answer.answer_chunks, answer.first_answer = answer.chunks, 0, None
        if answers and answer.first_answer is None:
            answer.first_answer = now
        if answers or not (content.thinking or content.was_trace):
            answer.answer_chunks += 1
        else:
            answer.trace_chunks += 1
        self._note(now)

    def _note(self, now: float) -> None:
        if self.answer.first is None:
            self.answer.first = now
        else:
            self.answer.gaps.append(now - self.answer.last)
        self.answer.last = now


class Content:
    """Tells trace from answer where a server writes both into the content, between <think> and </think>. The first of
    them may be missing, since many chat templates write it into the prompt. `was_trace`: a delimiter has just shown
    that all before it was trace."""

    def __init__(self) -> None:
        self.thinking = False
        self.was_trace = False
        self._scanner: Scanner | None = Scanner([_OPEN, _CLOSE])
        self._begun = False

    def apart(self) -> None:
        """The trace is not in the content, or no more of it will come."""
        self._scanner = None

    def feed(self, text: str) -> bool:
        """Whether something of the answer is in it that is not blank."""
        self.was_trace, answers = False, False
        for part in self._scanner.feed(text) if self._scanner else [text]:
            if isinstance(part, Found):
                answers = not self._turns(part.needle) and answers
            elif part.strip():
                self._begun = True
                answers = answers or not self.thinking
        return answers

    def _turns(self, needle: str) -> bool:
        """Whether it is a delimiter, and not a part of the answer that spells one."""
        if self._scanner is None or (needle == _OPEN and self._begun):
            return False
        self.thinking = needle == _OPEN
        if not self.thinking:
            self.apart()
        self.was_trace = True
        return True
