"""`/v1/models`: the served models, and which of them a request is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from deployments.ingress.errors import RETRY_AFTER, ApiError
from deployments.ingress.graph import Graph, ServedCard
from deployments.model import ModelCard

CREATED = 1_760_000_000


async def list_models(request: Request) -> JSONResponse:
    """All models that are ready; the first one serves every route that any of them serves.

    Clients poll this until it succeeds, and then send their first request.
    """
    graph: Graph = request.app.state.graph
    models = await graph.ready_models()
    if not models and (graph.models() or graph.missing()):
        raise _no_model_ready()
    return JSONResponse({"object": "list", "data": [_entry(served) for served in models]})


async def retrieve_model(request: Request) -> JSONResponse:
    """One model; ids may contain slashes."""
    graph: Graph = request.app.state.graph
    name = request.path_params["model"]
    for served in graph.models():
        if served.card.name == name:
            return JSONResponse(_entry(served))
    raise unknown_model(graph, name, 404)


def chat_model(graph: Graph, name: str | None) -> ServedCard:
    """The model of a chat; if the request names none, the first one that chats.

    Raises:
        ApiError: 404 if there is no model of that name, 400 if it does not chat.
    """
    return _find(graph, name, unknown_status=404, verb="chat", can=lambda card: card.chats)


def generation_model(graph: Graph, name: str | None) -> ServedCard:
    """The model of a generation; if the request names none, the first one that generates.

    Raises:
        ApiError: 400 if there is no model of that name or it does not generate.
    """
    return _find(graph, name, unknown_status=400, verb="generate images or videos", can=lambda card: card.generates)


def _find(
    graph: Graph, name: str | None, *, unknown_status: int, verb: str, can: Callable[[ModelCard], bool]
) -> ServedCard:
    candidates = [served for served in graph.models() if not name or served.card.name == name]
    for served in candidates:
        if can(served.card):
            return served
    if candidates and name:
        raise ApiError(400, f"model {name} does not {verb} here", param="model")
    if name:
        raise unknown_model(graph, name, unknown_status)
    if graph.missing():
        raise _no_model_ready()
    raise ApiError(400, f"no model here can {verb}", param="model")


def _no_model_ready() -> ApiError:
    return ApiError(503, "no model is ready yet", headers=RETRY_AFTER)


def unknown_model(graph: Graph, name: str, status: int) -> ApiError:
    """The error for a model that is not served; 503 while some models are still starting."""
    if graph.missing():
        return ApiError(503, f"model {name[:200]} is not ready or not served", headers=RETRY_AFTER)
    names = ", ".join(served.card.name for served in graph.models()) or "none"
    if status == 404:
        message = f"The model {name[:200]} does not exist; served: {names}"
        return ApiError(404, message, param="model", kind="NotFoundError")
    return ApiError(status, f"Model mismatch: {name[:200]} is not served; served: {names}", param="model")


def _entry(served: ServedCard) -> dict[str, Any]:
    card = served.card
    entry: dict[str, Any] = {
        "id": card.name,
        "object": "model",
        "created": CREATED,
        "owned_by": "cosmos3",
        # A folder of this machine is not shown to clients.
        "root": card.root if card.root.count("/") == 1 and not card.root.startswith((".", "/", "~")) else card.name,
        "parent": None,
        "permission": [],
        "abilities": {
            "chat": card.chats,
            "modes": [mode.value for mode in card.facts.modes] if card.generates else [],
            "sound": card.generates and card.facts.sound is not None,
        },
    }
    if card.max_model_len is not None:
        entry["max_model_len"] = card.max_model_len
    return entry
