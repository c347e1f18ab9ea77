"""`/v1/chat/completions`: requests are checked here and answered by vLLM's own chat serving in the Reasoner."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from deployments.ingress.errors import ApiError, as_api_error
from deployments.ingress.graph import Graph
from deployments.ingress.middleware import request_id_of
from deployments.ingress.requests.body import read_json
from deployments.ingress.requests.chat_request import read_chat
from deployments.ingress.requests.model_choice import chat_model
from deployments.ingress.waiting import while_connected
from deployments.wire.chat_answer import ChatAnswer

DONE = "data: [DONE]\n\n"


async def create_chat_completion(request: Request) -> Response:
    """Answer a chat, as a whole or as server-sent events. If the client hangs up, the engine aborts the request."""
    graph: Graph = request.app.state.graph
    body = await read_json(request)
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        raise ApiError(400, "model must be a string", param="model")
    served = chat_model(graph, model)
    body = {**await asyncio.to_thread(read_chat, body), "model": served.card.name}
    if body.get("stream"):
        return await _stream(request, graph.chat_stream(served.application, request_id_of(request), body))
    answer = await while_connected(request, graph.chat(served.application, request_id_of(request), body))
    return JSONResponse(_with_request_id(answer, request_id_of(request)), answer.status)


async def _stream(request: Request, stream: AsyncGenerator[ChatAnswer | str, None]) -> Response:
    """A stream once its first event has come; an error before that is a plain answer."""
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
