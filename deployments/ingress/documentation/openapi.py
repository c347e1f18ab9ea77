"""`/openapi.json`: the OpenAPI document of the routes.

Paths and methods come from the routes, descriptions from the docstrings of their handlers, and schemas from `schemas`.
Only the rest is written here.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, get_args

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from deployments.ingress import api_keys
from deployments.ingress.documentation.schemas import components, schema_ref
from deployments.ingress.requests import coercions, numpy_msgpack
from deployments.ingress.requests.body import FORMS, JSON
from deployments.ingress.requests.coercions import JsonSchema
from deployments.ingress.requests.references import PIXEL
from deployments.ingress.routes import metrics
from deployments.ingress.routes.video_jobs import EVENT_STREAM, MP4
from deployments.jobs.job import MAX_PAGE, EventKind

BEARER = "bearer"
EVENTS = EVENT_STREAM
IMAGES = ("image/png", "image/jpeg", "image/webp", "application/zip")
BINARY: JsonSchema = {"type": "string", "format": "binary"}
TEXT: JsonSchema = {"type": "string"}
OBJECT: JsonSchema = {"type": "object"}
PATH_EXAMPLES = {"model": "nvidia/Cosmos3-Nano", "id": "video_gen_0123456789abcdef0123456789abcdef"}
"""Examples of path parameters."""
DESCRIPTION = """Serves NVIDIA Cosmos 3: generation of images, videos and robot actions, and chat about images and
videos.

`X-Request-Id` is taken from the request or generated, and is in every answer and error. HEAD works wherever GET does.
Unknown fields of a request are ignored, and the answer names them in `X-Ignored-Fields`."""


@dataclass(frozen=True)
class RequestBody:
    """The body of a route's requests.

    Attributes:
        schema: the name of its schema.
        media_types: the media types that the route takes.
        example: an example in JSON.
    """

    schema: str
    media_types: tuple[str, ...]
    example: dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """The facts about a route that its path and its handler's docstring do not give.

    Attributes:
        answer: the schemas of a successful answer by media type.
        body: the request's body, if it has one.
        query, headers: the schemas of the request's parameters by name.
        others: further answers by status: schemas by media type, or None for an answer without a body.
    """

    answer: Mapping[str, JsonSchema]
    body: RequestBody | None = None
    query: Mapping[str, JsonSchema] = field(default_factory=dict)
    headers: Mapping[str, JsonSchema] = field(default_factory=dict)
    others: Mapping[int, Mapping[str, JsonSchema] | None] = field(default_factory=dict)


def _json(name: str) -> dict[str, JsonSchema]:
    return {JSON: schema_ref(name)}


_IDEMPOTENT: dict[str, JsonSchema] = {
    api_keys.IDEMPOTENCY_KEY: {
        "type": "string",
        "maxLength": 255,
        "description": "Requests with the same key are one request.",
    }
}
_PROMPT = {"prompt": "a robot arm picks up a cup", "size": "320x192", "seed": 7}
_EDIT = {"prompt": "make the cup red", "image": PIXEL, "seed": 7}
_VIDEO = RequestBody("VideoRequest", (JSON, *FORMS), _PROMPT | {"num_frames": 17})
_PICTURE = {"base64": PIXEL.partition(",")[2], "mime_type": "image/png"}
_ACTION = RequestBody(
    "ActionEnvelope",
    (JSON, numpy_msgpack.MEDIA_TYPE),
    {
        "input": {"task": "pick up the cup", "observation": {"images": {"front": _PICTURE}}},
        "parameters": {"domain_name": "droid_lerobot", "action_chunk_size": 16, "seed": 7},
    },
)
_CHAT = RequestBody("ChatRequest", (JSON,), {"messages": [{"role": "user", "content": "What is a robot?"}]})
_COMPLETION = RequestBody("CompletionRequest", (JSON,), {"prompt": "A robot is", "max_tokens": 16})
_RESPONSES = RequestBody("ResponsesRequest", (JSON,), {"input": "What is a robot?"})
_TOKENIZE = RequestBody("TokenizeRequest", (JSON,), {"prompt": "A robot is"})
_DETOKENIZE = RequestBody("DetokenizeRequest", (JSON,), {"tokens": [1, 2, 3]})
_READY = Operation(_json("NimHealth"), others={503: _json("NimHealth")})
_HEALTH = Operation(_json("Healthy"), others={503: _json("Unhealthy")})
_METRICS = Operation({metrics.CONTENT_TYPE.partition(";")[0]: TEXT})
_LIST = {
    "after": {"type": "string", "description": "Last id of the previous page."},
    "limit": coercions.within(0, MAX_PAGE).schema | {"default": MAX_PAGE},
    "order": {"type": "string", "enum": ["asc", "desc"], "default": "desc"},
}
_CONTENT = {"variant": {"type": "string", "enum": ["video"], "default": "video"}}
_PREVIEWS = {"previews": coercions.flag.schema | {"default": False, "description": "Whether to send previews as well."}}
_LAST = {
    "Last-Event-ID": {
        "type": "string",
        "pattern": "^[0-9]+$",
        "description": "Number of the last event that the client has; the stream starts after it.",
    }
}
_JSON_TEXT: JsonSchema = {"type": "string", "contentMediaType": JSON}
# OpenAPI 3.1 has no word for one event of a stream; this is what its tools take the schema for.
_EVENTS: dict[str, JsonSchema] = {
    EVENTS: {
        "type": "object",
        "description": "An event. Those that are not kept have no id.",
        "properties": {
            "event": {"type": "string", "enum": list(get_args(EventKind))},
            "data": _JSON_TEXT,
            "id": {"type": "string", "pattern": "^[1-9][0-9]*$"},
        },
        "required": ["event", "data"],
    }
}
_CHUNKS: dict[str, JsonSchema] = {
    EVENTS: {
        "type": "object",
        "description": "An event of vLLM: JSON, or at the end of chats and completions the word `[DONE]`.",
        "properties": {"event": TEXT, "data": TEXT},
        "required": ["data"],
    }
}
OPERATIONS: Mapping[str, Operation] = {
    "GET /v1/models": Operation(_json("ModelList")),
    "GET /v1/models/{model}": Operation(_json("ModelEntry")),
    "POST /v1/chat/completions": Operation({JSON: OBJECT} | _CHUNKS, _CHAT),
    "POST /v1/completions": Operation({JSON: OBJECT} | _CHUNKS, _COMPLETION),
    "POST /v1/responses": Operation({JSON: OBJECT} | _CHUNKS, _RESPONSES),
    "POST /tokenize": Operation({JSON: OBJECT}, _TOKENIZE),
    "POST /detokenize": Operation({JSON: OBJECT}, _DETOKENIZE),
    "POST /v1/images/generations": Operation(
        _json("ImagesAnswer") | dict.fromkeys(IMAGES, BINARY),
        RequestBody("ImageRequest", (JSON,), _PROMPT),
        headers=_IDEMPOTENT,
    ),
    "POST /v1/images/edits": Operation(
        _json("ImagesAnswer") | dict.fromkeys(IMAGES, BINARY),
        RequestBody("EditRequest", (JSON, *FORMS), _EDIT),
        headers=_IDEMPOTENT,
    ),
    "POST /v1/videos/sync": Operation({MP4: BINARY}, _VIDEO, headers=_IDEMPOTENT),
    "POST /v1/videos/generations": Operation({MP4: BINARY}, _VIDEO, headers=_IDEMPOTENT),
    "POST /v1/videos": Operation(_json("VideoObject"), _VIDEO, headers=_IDEMPOTENT),
    "GET /v1/videos": Operation(_json("VideoPage"), query=_LIST),
    "GET /v1/videos/{id}": Operation(_json("VideoObject")),
    "DELETE /v1/videos/{id}": Operation(_json("VideoDeleted")),
    "GET /v1/videos/{id}/content": Operation({MP4: BINARY}, query=_CONTENT, others={206: {MP4: BINARY}}),
    "GET /v1/videos/{id}/events": Operation(_EVENTS, query=_PREVIEWS, headers=_LAST, others={204: None}),
    "GET /v1/videos/{id}/preview": Operation({"image/jpeg": BINARY}),
    "GET /v1/videos/{id}/manifest": Operation(_json("Manifest")),
    "POST /v1/actions/generations": Operation(
        _json("ActionsAnswer") | {numpy_msgpack.MEDIA_TYPE: BINARY}, _ACTION, headers=_IDEMPOTENT
    ),
    "GET /health": _HEALTH,
    "GET /ping": _HEALTH,
    "POST /ping": _HEALTH,
    "GET /v1/health/live": Operation(_json("NimHealth")),
    "GET /v1/health/ready": _READY,
    "GET /version": Operation(_json("Version")),
    "GET /metrics": _METRICS,
    "GET /v1/metrics": _METRICS,
    "GET /openapi.json": Operation({JSON: OBJECT}),
    "GET /docs": Operation({"text/html": TEXT}),
}


async def openapi_json(request: Request) -> JSONResponse:
    """This server's routes as an OpenAPI document."""
    return JSONResponse(document(request.app.routes))


def document(routes: Iterable[BaseRoute]) -> dict[str, Any]:
    """An OpenAPI 3.1 document of these routes.

    Raises:
        LookupError: a route is missing in `OPERATIONS`.
    """
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if isinstance(route, Route):
            paths.setdefault(route.path_format, {}).update(_operations(route))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Cosmos 3", "version": version("cosmos3"), "description": DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": components(),
            "responses": {
                "Error": _answer("What is wrong.", _json("ErrorEnvelope")),
                "Unauthorized": _answer("There is no such API key.", {JSON: _UNAUTHORIZED}),
            },
            "securitySchemes": {BEARER: {"type": "http", "scheme": "bearer"}},
        },
    }


_UNAUTHORIZED: JsonSchema = {"type": "object", "properties": {"error": {"const": "Unauthorized"}}}


def _operations(route: Route) -> Iterator[tuple[str, dict[str, Any]]]:
    # Starlette answers HEAD wherever it answers GET.
    for method in sorted((route.methods or set()) - {"HEAD"}):
        operation = OPERATIONS.get(f"{method} {route.path_format}")
        if operation is None:
            raise LookupError(f"openapi.OPERATIONS has no entry for {method} {route.path_format}")
        yield method.lower(), _described(method, route, operation)


def _described(method: str, route: Route, operation: Operation) -> dict[str, Any]:
    description = inspect.cleandoc(route.endpoint.__doc__ or "")
    place = "_".join(part.strip("{}") for part in route.path_format.replace(".", "/").split("/") if part)
    described: dict[str, Any] = {
        "operationId": f"{method.lower()}_{place}",
        "tags": [route.endpoint.__module__.rpartition(".")[2].replace("_", " ")],
        "summary": description.partition("\n")[0],
        "description": description,
        "parameters": list(_parameters(route, operation)),
        "responses": _answers(route, operation),
        "security": [{}, {BEARER: []}] if api_keys.is_guarded(route.path_format) else [],
    }
    if operation.body is not None:
        described["requestBody"] = _request_body(operation.body)
    return described


def _parameters(route: Route, operation: Operation) -> Iterator[dict[str, Any]]:
    for name in route.param_convertors:
        yield {"name": name, "in": "path", "required": True, "schema": TEXT, "example": PATH_EXAMPLES[name]}
    for place, parameters in (("query", operation.query), ("header", operation.headers)):
        for name, schema in parameters.items():
            bare = {keyword: value for keyword, value in schema.items() if keyword != "description"}
            yield {"name": name, "in": place, "description": schema.get("description", ""), "schema": bare}


def _request_body(body: RequestBody) -> dict[str, Any]:
    content: dict[str, Any] = {kind: {"schema": schema_ref(body.schema)} for kind in body.media_types}
    content[JSON]["example"] = body.example
    return {"required": True, "content": content}


def _answers(route: Route, operation: Operation) -> dict[str, Any]:
    answers = {200: operation.answer, **operation.others}
    described = {str(status): _answer(HTTPStatus(status).phrase, content) for status, content in answers.items()}
    if api_keys.is_guarded(route.path_format):
        described["401"] = {"$ref": "#/components/responses/Unauthorized"}
    return described | {status: {"$ref": "#/components/responses/Error"} for status in ("4XX", "5XX")}


def _answer(description: str, content: Mapping[str, JsonSchema] | None) -> dict[str, Any]:
    if content is None:
        return {"description": description}
    return {"description": description, "content": {kind: {"schema": schema} for kind, schema in content.items()}}
