"""What routes ask for, out of the app's state."""

from typing import Annotated

from fastapi import Depends, Request

from fathom.core.engine import ModelCard
from fathom.core.tenant import EVERYONE, Tenant
from fathom.engine.supervisor import Supervisor
from fathom.serving.embed import Embed
from fathom.serving.generate import Generate
from fathom.serving.responses.service import Responses
from fathom.serving.sealing import Seals
from fathom.settings import Settings


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _supervisor(request: Request) -> Supervisor:
    supervisor: Supervisor = request.app.state.supervisor
    return supervisor


def _generate(request: Request) -> Generate:
    generate: Generate = request.app.state.generate
    return generate


def _embed(request: Request) -> Embed:
    embed: Embed = request.app.state.embed
    return embed


def _responses(request: Request) -> Responses:
    responses: Responses = request.app.state.responses
    return responses


def _seals(request: Request) -> Seals:
    seals: Seals = request.app.state.seals
    return seals


def tenant() -> Tenant:
    """Whose request it is: everyone's, as long as there are no keys."""
    return EVERYONE


def _card(request: Request) -> ModelCard:
    return _supervisor(request).serving()


CurrentSettings = Annotated[Settings, Depends(_settings)]
CurrentSupervisor = Annotated[Supervisor, Depends(_supervisor)]
CurrentGenerate = Annotated[Generate, Depends(_generate)]
CurrentEmbed = Annotated[Embed, Depends(_embed)]
CurrentCard = Annotated[ModelCard, Depends(_card)]
CurrentResponses = Annotated[Responses, Depends(_responses)]
CurrentSeals = Annotated[Seals, Depends(_seals)]
CurrentTenant = Annotated[Tenant, Depends(tenant)]
