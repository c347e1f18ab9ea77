"""Which of the served models a request is for."""

from __future__ import annotations

from collections.abc import Callable

from deployments.ingress.errors import RETRY_AFTER, ApiError
from deployments.ingress.graph import Graph, ServedCard
from deployments.model import ModelCard


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
        raise no_model_ready()
    raise ApiError(400, f"no model here can {verb}", param="model")


def no_model_ready() -> ApiError:
    """The error while all models are still starting."""
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
