"""What a benchmark does: how many streams, how many requests, and what they ask."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from fathom.core.errors import StartupError

_MOST_STREAMS = 4096
_TASK = "Tell a long story in which all of this happens."
_TASK_TOKENS = 12
_SENTENCE = (7, 14)  # words
_TEXT = """
able about above across add after again against age ago air all almost along also always among animal another answer any
area around ask away baby back bad bag ball bank base be bear beautiful become bed before begin behind best better
between big bird black blue board boat body book born both box boy bread break bring brother brown build burn business
busy but buy call came camp can car care carry case cat catch cause chair chance change check child choose church
circle city class clean clear climb close cloth cloud coast coat cold color come cook cool corner corn could count
country course cover cross cry cut dance dark day dead deal deep did different do doctor dog door down draw dream dress
drink drive drop dry early earth east easy eat edge egg end enough even evening ever every example eye face fact fall
family far farm fast father feel few field fight fill find fine finger fire first fish floor flower fly follow food foot
for force forest form four free fresh friend from front fruit full game garden gave girl give glass go gold good grass
gray great green ground group grow guess hair half hand happen happy hard has hat have head hear heart heat heavy held
help her here high hill him his hold hole home horse hot hour house how human hundred hunt ice idea if in into iron
island job join jump just keep key kind king kitchen knew know lady lake land language large last late laugh law lay
lead leaf learn leave left leg less let letter level lie life lift light like line list listen little live long look
lost loud love low machine made main make man many map mark market match may meal mean measure meat meet men metal
middle might mile milk mind minute miss money month moon more morning most mother mountain mouth move much music must
name near neck need never new next night nine noise north nose note nothing now number ocean off offer office often oil
old on once one only open or orange order other our out over own page paint pair paper park part party pass past path
pay people person picture piece place plain plan plane plant play please point poor port pound power press pretty pull
push put quick quiet race rain raise ran read ready real red rest rich ride right ring rise river road rock roll room
root rope rose round row rule run safe said sail salt same sand save saw say school sea seat second see seed seem sell
send sense sent serve set seven shape she ship shoe shop short should shoulder show side sight sign silver simple sing
sister sit six size skin sky sleep slow small smell smile snow so soft soil some son song soon sound south space speak
spend spoke spot spring square stand star start state stay step stick still stone stood stop store storm story street
strong such sugar summer sun sure swim table tail take talk tall tea teach team tell ten test than that the their them
then there these they thick thin thing think third this those thought three through throw time tiny to today together
tomorrow too took top touch toward town trade train travel tree trip true try turn two uncle under until up use very
village visit voice wait walk wall want war warm was wash watch water wave way we wear week well went were west what
wheel when where which while white who whole why wide wild will win wind window winter wish with woman wood word work
world would write wrong year yellow yes yesterday yet you young
"""
_WORDS = _TEXT.split()  # each is one token of most vocabularies, with the blank before it


@dataclass(frozen=True, slots=True)
class Plan:
    """levels: streams at a time, one level after the other. requests: of each level; None: so many as fit it.
    input_tokens, shared_prefix: of a prompt's own, and of the system message that all share, by estimate. warm_up:
    requests before the first level, which do not count. thinking: None leaves it to the server. timeout: seconds that a
    request may take. fields: of the request, besides what the plan says."""

    levels: tuple[int, ...]
    requests: int | None = None
    input_tokens: int = 128
    max_tokens: int = 128
    shared_prefix: int = 0
    warm_up: int = 1
    thinking: bool | None = None
    ignore_eos: bool = False
    seed: int = 0
    timeout: float = 600.0
    fields: dict[str, Any] = field(default_factory=dict)

    def requests_at(self, streams: int) -> int:
        return self.requests or max(2 * streams, 4)

    def bodies(self, model: str) -> Iterator[dict[str, Any]]:
        """One request after the other, without end; the same ones for the same seed."""
        system = [{"role": "system", "content": prose(self.shared_prefix, f"{self.seed} shared")}]
        opening = system if self.shared_prefix else []
        for number in count():
            user = {"role": "user", "content": _prompt(self.input_tokens, f"{self.seed} {number}")}
            yield {"model": model, "messages": [*opening, user], **self._controls(), **self.fields}

    def _controls(self) -> dict[str, Any]:
        controls: dict[str, Any] = {"max_tokens": self.max_tokens}
        if self.thinking is not None:
            switch = {"enable_thinking": self.thinking, "thinking": self.thinking}  # chat templates know one or other
            controls["chat_template_kwargs"] = switch
        if self.ignore_eos:
            controls["ignore_eos"] = True
        return controls


def levels_of(text: str, requests: int | None) -> tuple[int, ...]:
    """As in `1,16,64`. Raises StartupError."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 1 <= int(part) <= _MOST_STREAMS for part in parts):
        raise StartupError(f"--streams {text!r} is no list of numbers from 1 to {_MOST_STREAMS}; it looks like 1,16,64")
    levels = tuple(map(int, parts))
    if requests is not None and requests < max(levels):
        raise StartupError(
            f"--requests {requests} cannot fill {max(levels)} streams; give at least {max(levels)}, or fewer --streams"
        )
    return levels


def in_words(streams: int) -> str:
    return "1 stream" if streams == 1 else f"{streams} streams"


def prose(tokens: int, seed: str) -> str:
    """Sentences of ordinary words that mean nothing, of about so many tokens: one a word, one a full stop."""
    chance, sentences = random.Random(seed), []  # noqa: S311 - no secret
    while tokens > 0:
        words = chance.choices(_WORDS, k=min(chance.randint(*_SENTENCE), max(tokens - 1, 1)))
        sentences.append(" ".join(words).capitalize() + ".")
        tokens -= len(words) + 1
    return " ".join(sentences)


def _prompt(tokens: int, seed: str) -> str:
    """The task stands last: servers reuse what prompts begin with, and these must have nothing in common."""
    if tokens <= 2 * _TASK_TOKENS:
        return prose(tokens, seed)
    return f"{prose(tokens - _TASK_TOKENS, seed)}\n\n{_TASK}"
