"""`/v1/models`: the served models."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from deployments.ingress.graph import Graph, ServedCard
from deployments.ingress.requests.model_choice import no_model_ready, unknown_model

CREATED = 1_760_000_000


async def list_models(request: Request) -> JSONResponse:
    """All models that are ready, those that both chat and generate first.

    Clients poll this until it succeeds, and then send their first request.
    """
    graph: Graph = request.app.state.graph
    models = await graph.ready_models()
    if not models and (graph.models() or graph.missing()):
        raise no_model_ready()
    return JSONResponse({"object": "list", "data": [entry for served in models for entry in _entries(served)]})


async def retrieve_model(request: Request) -> JSONResponse:
    """One model; ids may contain slashes."""
    graph: Graph = request.app.state.graph
    name = request.path_params["model"]
    for entry in (entry for served in graph.models() for entry in _entries(served)):
        if entry["id"] == name:
            return JSONResponse(entry)
    raise unknown_model(graph, name, 404)


def _entries(served: ServedCard) -> list[dict[str, Any]]:
    """The model, and the adapters that are models to clients who chat."""
    entry = _entry(served)
    chats = {"chat": True, "modes": [], "sound": False}
    adapters = [
        {"id": name, "root": name, "parent": entry["id"], "abilities": chats} for name in served.card.chat_adapters
    ]
    return [entry, *(entry | adapter for adapter in adapters)]


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
