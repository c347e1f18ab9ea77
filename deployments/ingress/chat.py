"""`/v1/chat/completions`: checked here, answered by vLLM's own chat serving in the Reasoner."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from cosmos3_core.errors import RequestError
from cosmos3_core.media import MediaError, decode_image
from deployments.chat_answer import ChatAnswer
from deployments.chat_images import IMAGE, data_of, image_url, is_image, parts_of
from deployments.ingress.body import read_json
from deployments.ingress.errors import ApiError, bad_field
from deployments.ingress.graph import Graph, as_api_error
from deployments.ingress.middleware import request_id_of
from deployments.ingress.models import chat_model
from deployments.ingress.waiting import while_connected

MAX_IMAGES = 16
TEXT_TYPES = ("text", "input_text", "output_text", "refusal", "thinking")
GUIDED = ("guided_json", "guided_regex", "guided_choice", "guided_grammar", "guided_decoding_backend")
DONE = "data: [DONE]\n\n"


async def create_chat_completion(request: Request) -> Response:
    """Answer a chat, whole or as server-sent events. Hanging up aborts it in the engine."""
    graph: Graph = request.app.state.graph
    body = await read_json(request)
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        raise ApiError(400, "model must be a string", param="model")
    served = chat_model(graph, model)
    await asyncio.to_thread(_check, body)
    body = {**body, "model": served.card.name}
    if body.get("stream"):
        return await _stream(request, graph.chat_stream(served.application, request_id_of(request), body))
    answer = await while_connected(request, graph.chat(served.application, request_id_of(request), body))
    return JSONResponse(_with_request_id(answer, request_id_of(request)), answer.status)


def _check(body: dict[str, Any]) -> None:
    """Refuse what vLLM would fetch, ignore silently or stumble over.

    Raises:
        ApiError: 400, naming the field.
    """
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise ApiError(400, "messages is missing or empty; expected a list of messages", param="messages")
    if not isinstance(body.get("stream", False), (bool, type(None))):
        raise ApiError(400, "stream must be true or false", param="stream")
    if body.get("stream_options") and not body.get("stream"):
        raise ApiError(400, "stream_options is only allowed with stream: true", param="stream_options")
    for field in GUIDED:
        if body.get(field) is not None:
            raise ApiError(400, f"{field} is not supported; use response_format or structured_outputs", param=field)
    images = 0
    for path, part in parts_of(body):
        images += is_image(part)
        try:
            _check_part(part, path)
        except RequestError as error:
            raise bad_field(error) from error
    if images > MAX_IMAGES:
        raise ApiError(400, f"messages has {images} images; expected at most {MAX_IMAGES}", param="messages")


def _check_part(part: dict[str, Any], path: str) -> None:
    if is_image(part):
        field = f"{path}.{IMAGE}"
        try:
            decode_image(data_of(image_url(part), field))
        except MediaError as error:
            raise RequestError(field, f"cannot be read: {error}") from error
        return
    kind = part.get("type", "text")
    if kind not in TEXT_TYPES or not isinstance(part.get("text", part.get("refusal", "")), str):
        raise RequestError(path, f"is of type {str(kind)[:40]!r}; expected text, or image_url with a data URI")


async def _stream(request: Request, stream: AsyncGenerator[ChatAnswer | str, None]) -> Response:
    """A stream, once its first piece shows that it is one; an error before is a plain answer."""
    request_id = request_id_of(request)
    try:
        first = await while_connected(request, _first(stream))
    except BaseException:
        await stream.aclose()
        raise
    if isinstance(first, ChatAnswer):
        await stream.aclose()
        return JSONResponse(_with_request_id(first, request_id), first.status)
    return StreamingResponse(_events(first, stream, request_id), media_type="text/event-stream")


async def _first(stream: AsyncGenerator[ChatAnswer | str, None]) -> ChatAnswer | str:
    return await anext(stream)


async def _events(
    first: str, stream: AsyncGenerator[ChatAnswer | str, None], request_id: str
) -> AsyncGenerator[str, None]:
    async with aclosing(stream):
        yield first
        try:
            async for event in stream:
                assert isinstance(event, str)
                yield event
        except ApiError as error:
            yield f"data: {json.dumps(as_api_error(error).body(request_id))}\n\n"
            yield DONE


def _with_request_id(answer: ChatAnswer, request_id: str) -> dict[str, Any]:
    error = answer.body.get("error")
    if not isinstance(error, dict):
        return answer.body
    return {**answer.body, "error": {**error, "request_id": request_id}}
