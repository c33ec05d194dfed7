"""Probes, version and metrics, for whoever runs the server. Some load balancers send HEAD."""

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from fathom import __version__
from fathom.api.dependencies import CurrentSupervisor
from fathom.engine.supervisor import Supervisor

router = APIRouter(tags=["operations"])
metrics_router = APIRouter(tags=["operations"])


@router.head("/livez", include_in_schema=False)
@router.get("/livez")
async def livez() -> dict[str, str]:
    """200 as long as the API process answers, whatever the engine does."""
    return {"status": "ok"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz")
async def readyz(supervisor: CurrentSupervisor) -> Response:
    """200 when requests are served, else 503 with the phase."""
    return JSONResponse(_state(supervisor), 200 if supervisor.ready else 503)


@router.head("/health", include_in_schema=False)
@router.get("/health", include_in_schema=False)
async def health(supervisor: CurrentSupervisor) -> Response:
    """As /readyz, under the name that vLLM's server uses."""
    return await readyz(supervisor)


@router.head("/startupz", include_in_schema=False)
@router.get("/startupz")
async def startupz(supervisor: CurrentSupervisor) -> Response:
    """Where the start is: phase, seconds, and the share that is done where it is known. 200 once it is over."""
    return JSONResponse(_state(supervisor), 200 if supervisor.card else 503)


@router.get("/version")
async def version() -> dict[str, str]:
    """Fathom's version."""
    return {"version": __version__}


@metrics_router.get("/metrics")
async def metrics() -> Response:
    """Prometheus metrics: ours (fathom_*) and vLLM's (vllm:*)."""
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


def _state(supervisor: Supervisor) -> dict[str, Any]:
    state: dict[str, Any] = {
        "status": "ready" if supervisor.ready else "not ready",
        "phase": str(supervisor.phase),
        "phase_seconds": round(supervisor.phase_seconds, 1),
        "seconds": round(supervisor.seconds, 1),
    }
    if supervisor.share is not None:
        state["share"] = round(supervisor.share, 3)
    if supervisor.failure:
        state["failure"] = supervisor.failure
    return state
