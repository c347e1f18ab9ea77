"""`/v1/models`: what is served, and which model a request means."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from deployments.ingress.errors import RETRY_AFTER, ApiError
from deployments.ingress.graph import Graph, ServedCard

CREATED = 1_760_000_000


async def list_models(request: Request) -> JSONResponse:
    """All models that are up; the first one serves every route that any of them serves.

    Clients ask this until it succeeds, and send their first request then.
    """
    graph: Graph = request.app.state.graph
    models = await graph.ready_models()
    if not models and (graph.models() or graph.missing()):
        raise _none_ready()
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
    """The model a chat means; the first one that chats where it names none.

    Raises:
        ApiError: 404 where there is none of that name, 400 where it does not chat.
    """
    return _find(graph, name, 404, "chat", lambda served: served.card.chats)


def generation_model(graph: Graph, name: str | None) -> ServedCard:
    """The model a generation means; the first one that generates where it names none.

    Raises:
        ApiError: 400 where there is none of that name or it does not generate.
    """
    return _find(graph, name, 400, "generate images or videos", lambda served: served.card.generates)


def _find(graph: Graph, name: str | None, status: int, verb: str, able: Any) -> ServedCard:
    for served in graph.models():
        if name in (None, "", served.card.name) and (able(served) or name):
            if able(served):
                return served
            raise ApiError(400, f"model {name} does not {verb} here", param="model")
    if name:
        raise unknown_model(graph, name, status)
    if graph.missing():
        raise _none_ready()
    raise ApiError(400, f"no model here can {verb}", param="model")


def _none_ready() -> ApiError:
    return ApiError(503, "no model is ready yet", headers=RETRY_AFTER)


def unknown_model(graph: Graph, name: str, status: int) -> ApiError:
    """The refusal of a model that is not served; 503 while some have not come up."""
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
        # A folder of this machine is nobody's business.
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
