"""The Starlette application: the table of routes, and what holds for all of them."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deployments.ingress import chat, health, images, metrics, models, videos
from deployments.ingress.errors import ApiError
from deployments.ingress.graph import Graph, as_api_error
from deployments.ingress.middleware import RequestContext, request_id_of
from deployments.logs import log

ROUTES = [
    Route("/v1/models", models.list_models),
    Route("/v1/models/{model:path}", models.retrieve_model),
    Route("/v1/chat/completions", chat.create_chat_completion, methods=["POST"]),
    Route("/v1/images/generations", images.create_image, methods=["POST"]),
    Route("/v1/videos/sync", videos.create_video_sync, methods=["POST"]),
    Route("/v1/videos", videos.create_video, methods=["POST"]),
    Route("/v1/videos/{id}", videos.video, methods=["GET", "DELETE"]),
    Route("/v1/videos/{id}/content", videos.video_content),
    Route("/v1/videos/{id}/events", videos.video_events),
    Route("/health", health.health),
    Route("/ping", health.health, methods=["GET", "POST"]),
    Route("/v1/health/live", health.live),
    Route("/v1/health/ready", health.ready),
    Route("/version", health.version),
    Route("/metrics", metrics.metrics),
    Route("/v1/metrics", metrics.metrics),
]


def create_app(graph: Graph, echo_request_id: bool = True) -> Starlette:
    """The application over a graph."""
    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(RequestContext, echo=echo_request_id, on_error=_unexpected)],
        exception_handlers={ApiError: _api_error, HTTPException: _http_error},
    )
    app.state.graph = graph
    app.state.metrics = metrics.HttpMetrics()
    return app


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response(request_id_of(request))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = {
        404: f"there is no route {request.method} {request.url.path}",
        405: f"{request.method} is not allowed on {request.url.path}",
    }.get(error.status_code, error.detail)
    headers = dict(error.headers or {})
    return ApiError(error.status_code, message, headers=headers).response(request_id_of(request))


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("unexpected", exc_info=error)
    return as_api_error(error).response(request_id_of(request))
