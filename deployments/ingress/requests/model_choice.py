"""Which of the served models a request is for."""

from __future__ import annotations

from collections.abc import Callable

from cosmos3_core.errors import RequestError
from cosmos3_core.resolving.resolve import inability_of
from deployments.ingress.errors import RETRY_AFTER, ApiError
from deployments.ingress.graph import Graph, ServedCard
from deployments.ingress.requests.generation import Generation
from deployments.model import ModelCard
from deployments.wire.upsampling import FIELD as UPSAMPLE


def chat_model(graph: Graph, name: str | None) -> ServedCard:
    """The model of a chat; if the request names none, the first one that chats.

    Raises:
        ApiError: 404 if there is no model of that name, 400 if it does not chat.
    """
    able = _candidates(
        graph,
        name,
        unknown_status=404,
        verb="chat",
        can=lambda card: card.chats,
        names=lambda card: (card.name, *card.chat_adapters),
    )
    return able[0]


def generation_model(graph: Graph, generation: Generation) -> ServedCard:
    """The model of a generation; if the request names none, the first one that can do what it asks for.

    Raises:
        ApiError: 400 if there is no model of that name or it cannot do what is asked for; the message names another
            model that can.
    """

    def inability(served: ServedCard) -> RequestError | None:
        unable = inability_of(served.card.facts, generation.request)
        if unable is None and generation.upsamples and not served.card.chats:
            unable = RequestError(UPSAMPLE, "is true; this model has no Reasoner to write the prompt")
        return unable

    candidates = _generating(graph, generation.model)
    for served in candidates:
        if inability(served) is None:
            return served
    if graph.missing() and not generation.model:
        raise no_model_ready()
    reason = inability(candidates[0])
    assert reason is not None
    able = next((served.card.name for served in _generating(graph, None) if inability(served) is None), None)
    others = "no model here can do it" if able is None else f"model {able} can do it"
    raise generation.refusal(RequestError(reason.field, f"{reason.reason}; {others}"))


def _generating(graph: Graph, name: str | None) -> list[ServedCard]:
    verb = "generate images or videos"
    return _candidates(graph, name, unknown_status=400, verb=verb, can=lambda card: card.generates)


def _candidates(
    graph: Graph,
    name: str | None,
    *,
    unknown_status: int,
    verb: str,
    can: Callable[[ModelCard], bool],
    names: Callable[[ModelCard], tuple[str, ...]] = lambda card: (card.name,),
) -> list[ServedCard]:
    """The models that a request may be for, at least one: those of its name, or all that can."""
    named = [served for served in graph.models() if not name or name in names(served.card)]
    able = [served for served in named if can(served.card)]
    if able:
        return able
    if named and name:
        raise ApiError(400, f"model {name} does not {verb} here", param="model")
    if name:
        raise unknown_model(graph, name, unknown_status)
    if graph.missing():
        raise no_model_ready()
    raise ApiError(400, f"no model here can {verb}", param="model")


def no_model_ready() -> ApiError:
    """The error while all models that a request could be for are still starting."""
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
