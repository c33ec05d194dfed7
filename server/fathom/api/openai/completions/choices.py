"""Events to pieces of choices, in OpenAI's shape: a chunk carries one piece, a whole choice is its pieces joined."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from fathom.api.openai import shared
from fathom.api.openai.completions.logprobs import LISTS, Lists, legacy
from fathom.api.openai.completions.schemas import CompletionRequest
from fathom.core.events import Accepted, Echo, Event, Finished, FinishReason, Queued, TextDelta, TokenLogprob, Tokens

Piece = dict[str, Any]


class Choices:
    """Reads events. Choice c of prompt p is number p * n + c. Traces and tool calls do not occur."""

    def __init__(self, body: CompletionRequest, prompts: int) -> None:
        self._with_logprobs = body.logprobs is not None
        self._prepared: set[int] = set()
        self._finished: list[list[Finished]] = [[] for _ in range(prompts)]
        self._of = [
            [_Choice(body, prompt * body.choices + at) for at in range(body.choices)] for prompt in range(prompts)
        ]

    @property
    def prepared(self) -> bool:
        """Whether none of the prompts can be refused any more."""
        return len(self._prepared) == len(self._of)

    def read(self, prompt: int, event: Event) -> Iterator[Piece]:
        """Pieces of choices: what the event adds to them."""
        choices = self._of[prompt]
        match event:
            case TextDelta(text, choice, logprobs):
                yield choices[choice].piece(text, self._lists(logprobs, text, choices[choice].length))
            case Tokens(ids, choice):
                choices[choice].token_ids += ids
            case Finished(reason, choice=choice):
                self._finished[prompt].append(event)
                yield choices[choice].piece("", self._lists((), "", 0), reason)
            case Echo(text, logprobs):
                lists = self._lists(logprobs, text, 0)
                yield from (each.piece(text, lists) for each in choices)
            case Queued():
                self._prepared.add(prompt)
            case Accepted(prompt_ids=prompt_ids):
                self._prepared.add(prompt)
                for each in choices:
                    each.prompt_ids = prompt_ids

    def usage(self) -> dict[str, Any]:
        """Of all prompts, once all is said."""
        ended = all(len(finished) == len(of) for finished, of in zip(self._finished, self._of, strict=True))
        assert ended, "an engine ends each choice with Finished or raises"
        return _sum([shared.usage(finished) for finished in self._finished])

    def _lists(self, tokens: Sequence[TokenLogprob], text: str, begin: int) -> Lists | None:
        return legacy(tokens, text, begin) if self._with_logprobs else None


class _Choice:
    """One choice: its characters so far, and the token ids to tell with its next piece; the prompt's come once."""

    def __init__(self, body: CompletionRequest, number: int) -> None:
        self._number = number
        self._with_ids = bool(body.return_token_ids)
        self.length = 0
        self.prompt_ids: tuple[int, ...] | None = None
        self.token_ids: list[int] = []

    def piece(self, text: str, logprobs: Lists | None, reason: FinishReason | None = None) -> Piece:
        self.length += len(text)
        piece = {"index": self._number, "text": text, "logprobs": logprobs, "finish_reason": reason}
        return piece | self._ids() if self._with_ids else piece

    def _ids(self) -> dict[str, Any]:
        ids: dict[str, Any] = {"token_ids": self.token_ids}
        if self.prompt_ids is not None:
            ids["prompt_token_ids"] = self.prompt_ids
        self.token_ids, self.prompt_ids = [], None
        return ids


def whole(pieces: Sequence[Piece]) -> Piece:
    """A choice, of all its pieces."""
    joined = pieces[0] | pieces[-1] | {"text": "".join(piece["text"] for piece in pieces)}
    if joined["logprobs"] is not None:
        joined["logprobs"] = {name: _chained(piece["logprobs"][name] for piece in pieces) for name in LISTS}
    if "token_ids" in joined:
        joined["token_ids"] = _chained(piece["token_ids"] for piece in pieces)
    return joined


def _chained(lists: Iterable[list[Any]]) -> list[Any]:
    return list(chain.from_iterable(lists))


def _sum(usages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Field by field, and inside of fields."""
    return {
        name: _sum([usage[name] for usage in usages])
        if isinstance(value, dict)
        else sum(usage[name] for usage in usages)
        for name, value in usages[0].items()
    }
