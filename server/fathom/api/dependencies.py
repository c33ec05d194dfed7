"""What routes ask for, out of the app's state. All are coroutines: FastAPI sends others to a thread each time."""

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from fathom.core.engine import ModelCard
from fathom.core.errors import BadRequest, StoreUnavailable
from fathom.core.generation import GenerationRequest
from fathom.core.tenant import Caller, Tenant
from fathom.engine.supervisor import Supervisor
from fathom.serving.deadline import PARAM as TIMEOUT
from fathom.serving.embed import Embed
from fathom.serving.generate import Generate
from fathom.serving.keys import Keys
from fathom.serving.responses.service import Responses
from fathom.serving.sealing import Seals
from fathom.serving.usage import Ledger
from fathom.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a request is made under, apart from its body: whose it is, and how many seconds its client gives it."""

    caller: Caller
    timeout: float | None

    def on(self, request: GenerationRequest) -> GenerationRequest:
        return replace(request, caller=self.caller, timeout=self.timeout)


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _supervisor(request: Request) -> Supervisor:
    supervisor: Supervisor = request.app.state.supervisor
    return supervisor


async def _generate(request: Request) -> Generate:
    generate: Generate = request.app.state.generate
    return generate


async def _embed(request: Request) -> Embed:
    embed: Embed = request.app.state.embed
    return embed


async def _ledger(request: Request) -> Ledger:
    ledger: Ledger = request.app.state.ledger
    return ledger


async def _keys(request: Request) -> Keys:
    keys: Keys = request.app.state.keys
    return keys


async def _responses(request: Request) -> Responses:
    return _of_store(request, "responses", Responses)


async def _seals(request: Request) -> Seals:
    return _of_store(request, "seals", Seals)


def _of_store(request: Request, name: str, kind: type[T]) -> T:
    """It is there once the database was opened; a server that cannot do that is about to end."""
    found = getattr(request.app.state, name, None)
    if not isinstance(found, kind):
        raise StoreUnavailable("The server's database could not be opened. Try again later.", retry_after=5.0)
    return found


async def _caller(request: Request) -> Caller:
    """Whom the key was found to belong to; see api/access.py."""
    caller: Caller = request.state.caller
    return caller


async def _tenant(request: Request) -> Tenant:
    return (await _caller(request)).tenant


async def _terms(request: Request) -> Terms:
    return Terms(await _caller(request), _timeout(request))


def _timeout(request: Request) -> float | None:
    """Seconds that the client gives its request, by a header: SDKs can set one for all of their calls."""
    given = request.headers.get(TIMEOUT)
    if given is None:
        return None
    with suppress(ValueError):
        if 0 < (seconds := float(given)) < math.inf:
            return seconds
    raise BadRequest(f"{TIMEOUT} takes a number of seconds above 0, such as 30 or 2.5.", param=TIMEOUT)


async def _card(request: Request) -> ModelCard:
    return (await _supervisor(request)).serving()


CurrentSettings = Annotated[Settings, Depends(_settings)]
CurrentSupervisor = Annotated[Supervisor, Depends(_supervisor)]
CurrentGenerate = Annotated[Generate, Depends(_generate)]
CurrentEmbed = Annotated[Embed, Depends(_embed)]
CurrentCard = Annotated[ModelCard, Depends(_card)]
CurrentResponses = Annotated[Responses, Depends(_responses)]
CurrentSeals = Annotated[Seals, Depends(_seals)]
CurrentLedger = Annotated[Ledger, Depends(_ledger)]
CurrentKeys = Annotated[Keys, Depends(_keys)]
CurrentTenant = Annotated[Tenant, Depends(_tenant)]
CurrentTerms = Annotated[Terms, Depends(_terms)]
