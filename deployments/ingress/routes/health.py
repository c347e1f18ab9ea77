"""Liveness, readiness and the version."""

from __future__ import annotations

from importlib.metadata import version as version_of

from starlette.requests import Request
from starlette.responses import JSONResponse

from deployments.ingress.graph import Graph


async def health(request: Request) -> JSONResponse:
    """200 once every configured stage is ready, else 503 and the stages that are not."""
    graph: Graph = request.app.state.graph
    unready = await graph.unready()
    if not unready:
        return JSONResponse({"status": "healthy"})
    reason = ", ".join(f"{name}: {why}" for name, why in sorted(unready.items()))
    return JSONResponse({"status": "unhealthy", "reason": reason, "stages": unready}, 503)


async def live(request: Request) -> JSONResponse:
    """200 as soon as the ingress answers."""
    return JSONResponse({"object": "health.response", "message": "Service is live", "status": "live"})


async def ready(request: Request) -> JSONResponse:
    """NIM's name for `/health`."""
    graph: Graph = request.app.state.graph
    if await graph.unready():
        body = {"object": "health.response", "message": "Service is not ready", "status": "not_ready"}
        return JSONResponse(body, 503)
    return JSONResponse({"object": "health.response", "message": "Service is ready", "status": "ready"})


async def version(request: Request) -> JSONResponse:
    """This server's version."""
    return JSONResponse({"version": version_of("cosmos3")})
