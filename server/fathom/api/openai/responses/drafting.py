"""A request, with all that it refers to, to a draft of its response."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends

from fathom.api.dependencies import (
    CurrentCard,
    CurrentResponses,
    CurrentSeals,
    CurrentSettings,
    CurrentSupervisor,
    CurrentTerms,
    Terms,
)
from fathom.api.openai import controls, shared
from fathom.api.openai.responses import translate
from fathom.api.openai.responses.items import check_outputs, own_items, references
from fathom.api.openai.responses.schemas import PromptRequest, ResponsesRequest
from fathom.api.openai.responses.traces import as_kept
from fathom.api.openai.responses.transcript import ResponseTranscript
from fathom.api.openai.responses.truncation import place_to_cut, shortened
from fathom.core.engine import ModelCard
from fathom.core.errors import BadRequest, ContextLengthExceeded
from fathom.core.generation import GenerationRequest
from fathom.core.ids import new_id
from fathom.engine.supervisor import Supervisor
from fathom.serving.deadline import PARAM as TIMEOUT
from fathom.serving.responses.draft import Draft
from fathom.serving.responses.service import Responses
from fathom.serving.sealing import Seals
from fathom.settings import Settings

Json = dict[str, Any]

_ANSWER = 8
"""Where a request names no limit, truncation keeps so much of the context length (an eighth) free for the answer."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """before: what `previous_response_id` stands for. own: the input of this request. cut: how many items of both are
    left out to make room."""

    before: Sequence[Json]
    own: Sequence[Json]
    cut: int = 0

    @property
    def items(self) -> list[Json]:
        return shortened([*self.before, *self.own], self.cut)


class Drafting:
    """The store is touched only by requests that need it."""

    def __init__(
        self,
        terms: Terms,
        card: ModelCard,
        settings: Settings,
        supervisor: Supervisor,
        responses: Responses,
        seals: Seals,
    ) -> None:
        self._terms, self._tenant, self._card, self._settings = terms, terms.caller.tenant, card, settings
        self._supervisor, self._responses, self._seals = supervisor, responses, seals

    async def draft(self, body: ResponsesRequest) -> tuple[Draft, ResponseTranscript]:
        """Raises BadRequest and its kin."""
        adapter = shared.adapter_of(body.model, self._card)
        conversation = await self.conversation(body)
        response_id = new_id("resp")
        generation = self._terms.on(translate.to_generation(body, conversation.items, response_id, adapter))
        if body.background:
            _check_patience(self._terms.timeout)
            await self._check_room(generation)
        keeping = self._settings.store.traces
        trace = translate.trace_options(body, self._seals, keeping)
        kept = [as_kept(item, keeping) for item in conversation.own]
        transcript = ResponseTranscript(translate.to_body(body, response_id, self._card), trace)
        draft = Draft(
            id=response_id,
            tenant=self._tenant.id,
            previous_id=body.previous_response_id,
            request={"body": translate.wishes(body), "items": kept, "cut": conversation.cut},
            items=kept,
            generation=generation,
            transcript=transcript,
        )
        return draft, transcript

    async def count(self, body: PromptRequest) -> int:
        """Tokens of the prompt. Raises BadRequest and its kin."""
        shared.adapter_of(body.model, self._card)
        conversation = await self.conversation(body)
        return await self._tokens(body, conversation.items)

    async def conversation(self, body: PromptRequest) -> Conversation:
        """Cut to fit, where that was asked for."""
        before = await self._before(body)
        given = body.input or []
        referred = references(given)
        kept = await self._responses.items(self._tenant, referred) if referred else {}
        own = own_items(given, kept, {item["id"] for item in before}, self._seals)
        check_outputs(before, own)
        whole = Conversation(before, own)
        if body.truncation != "auto":
            return whole
        return Conversation(before, own, await self._cut(body, whole.items))

    async def _before(self, body: PromptRequest) -> Sequence[Json]:
        if body.previous_response_id is None:
            return ()
        return await self._responses.conversation(self._tenant, body.previous_response_id)

    async def _cut(self, body: PromptRequest, items: Sequence[Json]) -> int:
        limit = self._card.context_length
        wanted = body.max_output_tokens if isinstance(body, ResponsesRequest) else None
        room = limit - (wanted or limit // _ANSWER)

        async def fits(rest: Sequence[Json]) -> bool:
            try:
                return await self._tokens(body, rest) <= room
            except ContextLengthExceeded:
                return False

        return await place_to_cut(items, fits)

    async def _tokens(self, body: PromptRequest, items: Sequence[Json]) -> int:
        tokenized = await self._supervisor.tokenize(translate.to_prompt(body, items), controls.control(body))
        return len(tokenized.ids)

    async def _check_room(self, request: GenerationRequest) -> None:
        """What is queued is accepted long before the engine sees it."""
        tokenized = await self._supervisor.tokenize(request.prompt, request.reasoning)
        limit, wanted = self._card.context_length, request.sampling.max_tokens
        if len(tokenized.ids) + (wanted or 1) > limit:
            raise ContextLengthExceeded(limit=limit, prompt_tokens=len(tokenized.ids), max_tokens=wanted, param="input")


def _check_patience(timeout: float | None) -> None:
    if timeout is not None:
        raise BadRequest(
            f"{TIMEOUT} is for requests that somebody waits for. Leave it out of background responses, or cancel them.",
            param=TIMEOUT,
        )


async def _drafting(
    terms: CurrentTerms,
    card: CurrentCard,
    settings: CurrentSettings,
    supervisor: CurrentSupervisor,
    responses: CurrentResponses,
    seals: CurrentSeals,
) -> Drafting:
    return Drafting(terms, card, settings, supervisor, responses, seals)


CurrentDrafting = Annotated[Drafting, Depends(_drafting)]
