"""The mixed requests, asked all at once, and how each of them ended."""

import json
from dataclasses import dataclass
from typing import Any

import httpx

from tests.faults.losses import Outage
from tests.faults.streams import Answer, Request, answer, mixed
from tests.readings import Reading
from tests.running import until

SECONDS = 200.0  # in which all of them end, a new engine included


@dataclass(frozen=True)
class Expected:
    """What the requests are answered by an undisturbed engine, and the characters of all streams together."""

    answers: dict[str, Answer]
    characters: int

    def of(self, request: Request) -> Answer:
        return self.answers[str(request)]


@dataclass
class Asked:
    """lost: it had no ending, and how. wrong: it had another than a good one, and why. answer: where it ended well."""

    request: Request
    reading: Reading
    lost: str = ""
    wrong: str = ""
    answer: Answer | None = None

    def end(self, seconds: float) -> None:
        try:
            self.reading.to_the_end(seconds)
        except AssertionError as error:
            self.lost = str(error)
        self.lost = self.lost or self.reading.broken or ("" if self.reading.status else "no status")
        if self.lost:
            return
        try:
            self.answer = answer(self.request, self.reading)
        except Exception as error:  # noqa: BLE001 - whatever a checker trips over is an answer that is not right
            self.wrong = f"{type(error).__name__}: {error}"

    def difference(self, expected: Expected) -> str:
        """Where its answer parts from the expected one; empty if nowhere."""
        wanted = expected.of(self.request)
        if self.answer is None:
            return ""
        parts = [[each.content, each.read, each.made] for each in (self.answer, wanted)]
        if _alike(*parts):
            return ""
        texts = [json.dumps(each) for each in parts]
        at = next((at for at, (here, there) in enumerate(zip(*texts, strict=False)) if here != there), 0)
        return f"{self.request}: {' where it was '.join(repr(text[max(0, at - 60) : at + 60]) for text in texts)}"

    def kept_alive(self, outage: Outage) -> bool:
        """Signs of life came while there was no engine, if it had begun to stream before and went on afterwards."""
        come = [_sign_of_life(piece) for at, piece in self.reading.arrivals if outage.struck < at < outage.over]
        begun = bool(self.reading.arrivals) and self.reading.arrivals[0][0] < outage.struck
        return any(come) or not begun or self.pause(outage) is None

    def pause(self, outage: Outage) -> float | None:
        """Seconds from the fault to the first piece of its stream that came of the next engine, if one did."""
        after = (at for at, piece in self.reading.arrivals if at > outage.noticed and not _sign_of_life(piece))
        return next((at - outage.struck for at in after if self.request.streamed), None)


class Batch:
    def __init__(self, client: httpx.Client) -> None:
        self.all = [Asked(request, request.ask(client)) for request in mixed()]

    @property
    def live(self) -> list[Asked]:
        return [each for each in self.all if not each.reading.ended]

    @property
    def come(self) -> int:
        """Characters, of all streams together."""
        return sum(len(each.reading.text) for each in self.all if each.request.streamed)

    def until_come(self, characters: float) -> None:
        until(lambda: self.come >= characters or not self.live, f"{characters:.0f} characters come", SECONDS)

    def end(self) -> None:
        for each in self.all:
            each.end(SECONDS)

    def expected(self) -> Expected:
        assert not [(str(each.request), each.wrong) for each in self.all if each.answer is None]
        return Expected({str(each.request): each.answer for each in self.all if each.answer}, self.come)

    def check(self, expected: Expected) -> None:
        """All ended well, with the answers of an undisturbed engine."""
        assert not [(str(each.request), each.lost, each.reading.text[-200:]) for each in self.all if each.lost], "lost"
        assert not [(str(each.request), each.wrong) for each in self.all if each.wrong], "wrong endings"
        differences = [difference for each in self.all if (difference := each.difference(expected))]
        assert not differences, "other answers:\n" + "\n".join(differences)


def _sign_of_life(piece: str) -> bool:
    return all(frame.startswith((":", "event: ping")) for frame in piece.split("\n\n") if frame)


def _alike(here: Any, there: Any) -> bool:
    """The same, but for the last digits of logprobs: without AVX-512, float32 depends a little on the batch."""
    if isinstance(here, float) and isinstance(there, float):
        return abs(here - there) < 1e-3
    if isinstance(here, dict) and isinstance(there, dict):
        return here.keys() == there.keys() and all(_alike(here[key], there[key]) for key in here)
    if isinstance(here, list) and isinstance(there, list):
        return len(here) == len(there) and all(map(_alike, here, there))
    return bool(here == there)
