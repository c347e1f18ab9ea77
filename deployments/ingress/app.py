"""The Starlette application: the table of routes, the middleware and the error handlers."""

from __future__ import annotations

from ray.exceptions import TaskCancelledError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from deployments.fetching.fetcher import Fetcher
from deployments.ingress.api_keys import ApiKeys
from deployments.ingress.documentation import openapi, page
from deployments.ingress.elsewhere import pointer
from deployments.ingress.errors import ApiError, as_api_error, hung_up
from deployments.ingress.graph import Graph
from deployments.ingress.intake import HeldRequests, Intake
from deployments.ingress.middleware import RequestContext, request_id_of
from deployments.ingress.open_streams import OpenStreams
from deployments.ingress.paths import PlainPaths, route_path
from deployments.ingress.routes import actions, health, images, metrics, models, reasoner, video_jobs, videos
from deployments.ingress.websockets import refuse
from deployments.ingress.windows import ApplicationWindows
from deployments.logs import log

ROUTES = [
    Route("/v1/models", models.list_models),
    Route("/v1/models/{model:path}", models.retrieve_model),
    Route("/v1/chat/completions", reasoner.create_chat_completion, methods=["POST"]),
    Route("/v1/completions", reasoner.create_completion, methods=["POST"]),
    Route("/v1/responses", reasoner.create_response, methods=["POST"]),
    Route("/tokenize", reasoner.tokenize, methods=["POST"]),
    Route("/detokenize", reasoner.detokenize, methods=["POST"]),
    Route("/v1/images/generations", images.create_image, methods=["POST"]),
    Route("/v1/images/edits", images.edit_image, methods=["POST"]),
    Route("/v1/videos/sync", videos.create_video_sync, methods=["POST"]),
    Route("/v1/videos/generations", videos.create_video_sync, methods=["POST"]),
    Route("/v1/videos", videos.create_video, methods=["POST"]),
    Route("/v1/videos", video_jobs.list_videos),
    Route("/v1/videos/{id:job}", video_jobs.video),
    Route("/v1/videos/{id:job}", video_jobs.delete_video, methods=["DELETE"]),
    Route("/v1/videos/{id:job}/content", video_jobs.video_content),
    Route("/v1/videos/{id:job}/events", video_jobs.video_events),
    Route("/v1/videos/{id:job}/preview", video_jobs.video_preview),
    Route("/v1/videos/{id:job}/manifest", video_jobs.video_manifest),
    Route("/v1/actions/generations", actions.create_actions, methods=["POST"]),
    Route("/health", health.health),
    Route("/ping", health.health, methods=["GET", "POST"]),
    Route("/v1/health/live", health.live),
    Route("/v1/health/ready", health.ready),
    Route("/version", health.version),
    Route("/metrics", metrics.metrics),
    Route("/v1/metrics", metrics.metrics),
    Route("/openapi.json", openapi.openapi_json),
    Route("/docs", page.docs),
]


def create_app(graph: Graph, echo_request_id: bool = True) -> Starlette:
    """An application that serves a graph.

    Args:
        graph: the deployments behind it.
        echo_request_id: whether answers carry the request's id; under Serve, Serve adds it.
    """
    intake = Intake(graph.settings.intake)
    app = Starlette(
        routes=ROUTES,
        middleware=[
            Middleware(ApplicationWindows, stall_s=graph.settings.intake.stall_s),
            Middleware(PlainPaths),
            Middleware(RequestContext, echo=echo_request_id, on_error=_unexpected),
            Middleware(ApiKeys, keys=graph.settings.keys),
            Middleware(HeldRequests, intake=intake),
        ],
        exception_handlers={
            ApiError: _api_error,
            HTTPException: _http_error,
            # The first from Starlette, the second from Serve, while a body is read.
            ClientDisconnect: _hung_up,
            TaskCancelledError: _hung_up,
        },
    )
    app.router.default = _no_route
    app.state.graph = graph
    app.state.metrics = metrics.HttpMetrics()
    app.state.streams = OpenStreams(graph.settings.streams)
    app.state.intake = intake
    app.state.fetcher = Fetcher(graph.settings.fetch, intake.memory, app.state.metrics.count_fetch)
    return app


async def _no_route(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        answer = ApiError(404, _missing("WebSocket", scope)).response(request_id_of(HTTPConnection(scope)))
        await refuse(answer, scope, receive, send)
        return
    raise HTTPException(404)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response(request_id_of(request))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message, headers = error.detail, dict(error.headers or {})
    if error.status_code == 404:
        message = _missing(request.method, request.scope)
    if error.status_code == 405:
        message = f"{request.method} is not allowed on {request.url.path}"
        # Starlette names only the methods of the first route with this path.
        headers["Allow"] = ", ".join(sorted(_methods(route_path(request.scope))))
    return ApiError(error.status_code, message, headers=headers).response(request_id_of(request))


async def _hung_up(request: Request, error: Exception) -> Response:
    return hung_up().response(request_id_of(request))


def _missing(method: str, scope: Scope) -> str:
    instead = pointer(route_path(scope), exists=lambda path: bool(_methods(path)))
    return f"there is no route {method} {scope['path']}" + (f"; {instead}" if instead else "")


def _methods(path: str) -> set[str]:
    return {method for route in ROUTES if route.path_regex.match(path) for method in route.methods or ()}


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("unexpected", exc_info=error)
    return as_api_error(error).response(request_id_of(request))
