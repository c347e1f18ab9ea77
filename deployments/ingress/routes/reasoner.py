"""The Reasoner's routes: requests are checked here and answered by vLLM's own serving in the Reasoner."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from cosmos3_core.media.checks import MediaError
from deployments.decoding.decoder import MediaDecoder
from deployments.ingress.errors import MAX_MESSAGE, RETRY_AFTER, ApiError, as_api_error
from deployments.ingress.graph import Graph
from deployments.ingress.intake import holding_of
from deployments.ingress.middleware import request_id_of
from deployments.ingress.requests.addressed_media import AddressedMedium, fetch_media
from deployments.ingress.requests.body import read_json
from deployments.ingress.requests.model_choice import chat_model
from deployments.ingress.requests.reasoner.addresses import in_chat, in_responses
from deployments.ingress.requests.reasoner.attachments import ReadRequest
from deployments.ingress.requests.reasoner.chat import read_chat
from deployments.ingress.requests.reasoner.completion import read_completion
from deployments.ingress.requests.reasoner.fields import with_merged
from deployments.ingress.requests.reasoner.responses import read_responses
from deployments.ingress.requests.reasoner.tokens import read_detokenize, read_tokenize
from deployments.ingress.waiting import while_connected
from deployments.redaction import redacted
from deployments.wire.reasoner_calls import STREAMED, AttachedMedium, Operation, ReasonerAnswer, ReasonerCall

DONE = "data: [DONE]\n\n"

# As vLLM answers for media that it cannot fetch.
NOT_FETCHED = 422

Reader = Callable[[dict[str, Any]], ReadRequest]
Finder = Callable[[dict[str, Any]], Iterator[AddressedMedium]]


async def create_chat_completion(request: Request) -> Response:
    """Answer a chat, as a whole or as server-sent events. If the client hangs up, the engine aborts the request."""
    return await _asked(request, Operation.CHAT, read_chat, in_chat)


async def create_completion(request: Request) -> Response:
    """Continue a text, as a whole or as server-sent events."""
    return await _asked(request, Operation.COMPLETION, read_completion)


async def create_response(request: Request) -> Response:
    """Answer a request of OpenAI's Responses API; nothing is stored, so none can be fetched later."""
    return await _asked(request, Operation.RESPONSES, read_responses, in_responses)


async def tokenize(request: Request) -> Response:
    """The tokens of a text or of a chat."""
    return await _asked(request, Operation.TOKENIZE, read_tokenize, in_chat)


async def detokenize(request: Request) -> Response:
    """The text of tokens."""
    return await _asked(request, Operation.DETOKENIZE, read_detokenize)


async def _asked(request: Request, operation: Operation, read: Reader, find: Finder | None = None) -> Response:
    graph: Graph = request.app.state.graph
    body = with_merged(await read_json(request))
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        raise ApiError(400, "model must be a string", param="model")
    served = chat_model(graph, model)
    if find is not None:
        await fetch_media(request, lambda: find(body), NOT_FETCHED)
    checked = await asyncio.to_thread(read, body)
    streamed = operation in STREAMED and body.get("stream")
    if checked.media:
        await while_connected(request, _check_media(graph.decoder, checked.media))
    # An adapter is a model to vLLM; the model itself is also reached without a name.
    name = model if model in served.card.chat_adapters else served.card.name
    call = ReasonerCall(request_id_of(request), operation, {**checked.body, "model": name}, checked.media)
    # The body has been read: it may be large, and the answer may take long.
    body.clear()
    holding_of(request).settle()
    if streamed:
        return await _streamed(request, graph.ask_stream(served.application, call), operation)
    answer = await while_connected(request, graph.ask(served.application, call))
    return _whole(answer, call.request_id)


async def _check_media(decoder: MediaDecoder, media: Sequence[AttachedMedium]) -> None:
    # One after another, so that no request takes all processes.
    for medium in media:
        try:
            await decoder.apart(decoder.check_visual, medium.visual)
        except MediaError as error:
            raise ApiError(400, f"{medium.field} cannot be read: {error}", param=medium.field) from error


async def _streamed(
    request: Request, stream: AsyncGenerator[ReasonerAnswer | str, None], operation: Operation
) -> Response:
    """A stream once its first event has come; an error before that is a plain answer."""
    request_id = request_id_of(request)
    try:
        first = await while_connected(request, _first(stream))
    except BaseException:
        await stream.aclose()
        raise
    if isinstance(first, ReasonerAnswer):
        await stream.aclose()
        return _whole(first, request_id)
    done = "" if operation is Operation.RESPONSES else DONE
    return StreamingResponse(_events(first, stream, request_id, done), media_type="text/event-stream")


async def _first(stream: AsyncGenerator[ReasonerAnswer | str, None]) -> ReasonerAnswer | str:
    return await anext(stream)


async def _events(
    first: str, stream: AsyncGenerator[ReasonerAnswer | str, None], request_id: str, done: str
) -> AsyncGenerator[str, None]:
    async with aclosing(stream):
        yield first
        try:
            async for event in stream:
                assert isinstance(event, str)
                yield event
        except ApiError as error:
            yield f"data: {json.dumps(as_api_error(error).body(request_id))}\n\n"
            yield done


def _whole(answer: ReasonerAnswer, request_id: str) -> JSONResponse:
    headers = RETRY_AFTER if answer.status in (429, 503) else None
    return JSONResponse(_with_request_id(answer, request_id), answer.status, headers)


def _with_request_id(answer: ReasonerAnswer, request_id: str) -> dict[str, Any]:
    error = answer.body.get("error")
    if not isinstance(error, dict):
        return answer.body
    told = {"message": redacted(error["message"])[:MAX_MESSAGE]} if isinstance(error.get("message"), str) else {}
    return {**answer.body, "error": {**error, **told, "request_id": request_id}}
