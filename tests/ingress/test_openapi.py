"""The description of the routes: that it is whole, valid, and true of what the routes read and answer."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from dataclasses import field as default
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.media.files import encode_image
from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.request import GenerationRequest
from deployments.ingress.answers import VideoObject, video_deleted, video_page
from deployments.ingress.app import ROUTES, create_app
from deployments.ingress.documentation.openapi import OPERATIONS, PATH_EXAMPLES, document, openapi_json
from deployments.ingress.documentation.page import curl, docs, page
from deployments.ingress.documentation.schemas import BODIES, body_schema, components
from deployments.ingress.errors import ApiError
from deployments.ingress.graph import Graph, ServedCard
from deployments.ingress.requests import fields as tables
from deployments.ingress.requests.action_request import read_actions
from deployments.ingress.requests.body import JSON, Body
from deployments.ingress.requests.chat_request import read_chat
from deployments.ingress.requests.generation import read_action, read_image, read_video
from deployments.ingress.routes.video_jobs import video_object
from deployments.jobs.job import Job
from deployments.model import ModelCard
from deployments.settings import FrontSettings
from tests.parity.cases import picture

Reader = Callable[[dict[str, Any]], Any]
READERS: dict[str, Reader] = {
    "VideoRequest": lambda given: read_video(Body(given)),
    "ActionParameters": lambda given: read_action(Body(given)),
    "ImageRequest": read_image,
}
NAMED = [(name, field) for name, schema in components().items() if name in BODIES for field in schema["properties"]]


def described() -> dict[str, Any]:
    return document(ROUTES)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in described()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def conforms(value: Any, name: str) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": components()}}
    OAS31Validator(schema).validate(value)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    encode_mp4(path, [picture(32, 48, seed=index) for index in range(5)], 10.0)
    return f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}"


def test_every_route_is_there_and_nothing_else() -> None:
    served = {f"{method} {route.path_format}" for route in ROUTES for method in route.methods or ()}
    assert {f"{method} {path}" for method, path, _ in operations()} == {
        name for name in served if not name.startswith("HEAD ")
    }
    assert set(OPERATIONS) <= served


def test_a_route_that_nobody_described_is_not_passed_over() -> None:
    async def nothing(request: Request) -> Response:
        """Nothing."""
        return Response()

    with pytest.raises(LookupError, match="GET /nothing"):
        document([Route("/nothing", nothing)])


def test_it_is_valid() -> None:
    OpenAPIV31SpecValidator(described()).validate()
    assert json.loads(json.dumps(described())) == described()


def test_all_schemas_are_valid() -> None:
    for schema in components().values():
        OAS31Validator.check_schema(schema)


def test_every_operation_says_what_it_does() -> None:
    for method, path, operation in operations():
        assert operation["summary"] and len(operation["summary"]) < 130, f"{method} {path}"
        in_path = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path)) <= set(PATH_EXAMPLES)


def test_keys_are_for_guarded_routes_and_optional() -> None:
    paths = described()["paths"]
    assert paths["/v1/videos"]["post"]["security"] == [{}, {"bearer": []}]
    assert "401" in paths["/v1/videos"]["post"]["responses"]
    for path in ("/health", "/metrics", "/v1/health/ready"):
        assert paths[path]["get"]["security"] == []
        assert "401" not in paths[path]["get"]["responses"]


@pytest.mark.parametrize("name", BODIES)
def test_every_accepted_field_is_a_property(name: str) -> None:
    table, properties = BODIES[name], components()[name]["properties"]
    served = set(table.accepted) | {
        alias for alias in tables.ALIASES if table.coercion(alias) and not table.refusal(alias)
    }
    assert set(properties) == served | {tables.FILLER, *tables.CONTAINERS}
    assert set(table.accepted).isdisjoint(table.refused)
    assert all(schema["description"] for schema in properties.values())


def examples(schema: dict[str, Any]) -> list[Any]:
    """What a schema says that a client may send."""
    if "examples" in schema:
        return cast(list[Any], schema["examples"])
    if "enum" in schema:
        return cast(list[Any], schema["enum"])
    lowest = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
    highest = schema.get("maximum", lowest)
    by_type: dict[str, list[Any]] = {
        "string": ["some text"],
        "boolean": [True, False],
        "integer": [lowest, highest],
        "number": [highest, 1],
    }
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return [example for kind in kinds for example in by_type[kind]]


@pytest.mark.parametrize(("name", "field"), NAMED)
def test_what_is_described_is_read(name: str, field: str, clip: str) -> None:
    schema = components()[name]["properties"][field]
    for example in [clip] if field == "video_reference" else examples(schema):
        OAS31Validator(schema).validate(example)
        reference = {"image2video": tables.PIXEL, "video2video": clip}.get(str(example))
        READERS[name]({"prompt": "a robot", field: example} | ({"input_reference": reference} if reference else {}))


@pytest.mark.parametrize(("name", "field"), NAMED)
def test_limits_are_those_that_hold(name: str, field: str) -> None:
    schema = components()[name]["properties"][field]
    beyond = {"minimum": -1, "maximum": 1, "exclusiveMinimum": 0, "exclusiveMaximum": 0}
    for limit in schema.keys() & beyond.keys():
        with pytest.raises(ApiError) as refused:
            READERS[name]({"prompt": "a robot", field: schema[limit] + beyond[limit]})
        assert refused.value.param == field


@pytest.mark.parametrize("name", BODIES)
def test_defaults_are_those_that_are_taken(name: str) -> None:
    generation = READERS[name]({"prompt": "a robot"})
    for field, schema in components()[name]["properties"].items():
        if "default" in schema and field in GenerationRequest.model_fields:
            taken = getattr(generation.request, field)
            assert (list(taken) if isinstance(taken, tuple) else taken) == schema["default"]
    if name == "ImageRequest":
        properties = components()[name]["properties"]
        assert "default" not in properties["seed"]
        for attribute, field in {"n": "num_outputs_per_prompt"}.items() | {
            (field, field) for field in ("response_format", "output_format", "output_compression")
        }:
            assert getattr(generation, attribute) == properties[field]["default"]


def test_the_examples_of_requests_are_read() -> None:
    bodies = {op.body.schema: op.body.example for op in OPERATIONS.values() if op.body is not None}
    for name, example in bodies.items():
        conforms(example, name)
    assert set(bodies) == {"VideoRequest", "ImageRequest", "ActionEnvelope", "ChatRequest"}
    READERS["VideoRequest"](bodies["VideoRequest"])
    READERS["ImageRequest"](bodies["ImageRequest"])
    assert read_actions(Body(bodies["ActionEnvelope"])).generation.ignored == ()
    read_chat(bodies["ChatRequest"])


def test_a_field_that_is_refused_or_unknown_is_no_property() -> None:
    assert "lora" not in components()["VideoRequest"]["properties"]
    assert "input_reference" not in components()["ImageRequest"]["properties"]
    schema = tables.Schema({"seed": tables.VIDEO.accepted["seed"]}, {"deterministic_seed": "is refused"})
    assert set(body_schema(schema)["properties"]) == {"seed", tables.FILLER, *tables.CONTAINERS}


# What the routes answer.


@dataclass
class StubGraph:
    """As much of the graph as the answers need."""

    served: list[ServedCard] = default(default_factory=list)
    reasons: dict[str, str] = default(default_factory=dict)
    settings: FrontSettings = default(default_factory=FrontSettings)
    jobs: Any = None

    def models(self) -> list[ServedCard]:
        return self.served

    async def ready_models(self) -> list[ServedCard]:
        return self.served

    def missing(self) -> list[str]:
        return []

    async def unready(self) -> dict[str, str]:
        return self.reasons

    async def position(self, job: Job) -> int:
        return 3


def ask(app: Starlette, path: str) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.get(path)

    return asyncio.run(asked())


def served(stub: StubGraph) -> Starlette:
    return create_app(cast(Graph, stub))


@pytest.mark.parametrize(
    ("path", "status", "name"),
    [
        ("/health", 200, "Healthy"),
        ("/v1/health/live", 200, "NimHealth"),
        ("/v1/health/ready", 200, "NimHealth"),
        ("/version", 200, "Version"),
        ("/v1/models", 200, "ModelList"),
        ("/v1/models/org/name", 200, "ModelEntry"),
        ("/v1/models/other", 404, "ErrorEnvelope"),
    ],
)
def test_answers_are_as_described(path: str, status: int, name: str, nano: Path) -> None:
    card = ModelCard("org/name", "tiny:nano", Checkpoint.find(str(nano)).facts, True, True, "decoder", 4096)
    answer = ask(served(StubGraph([ServedCard(card, "app")])), path)
    assert answer.status_code == status
    conforms(answer.json(), name)


@pytest.mark.parametrize(("path", "name"), [("/health", "Unhealthy"), ("/v1/health/ready", "NimHealth")])
def test_a_server_that_is_not_ready_answers_as_described(path: str, name: str) -> None:
    answer = ask(served(StubGraph(reasons={"nano": "is not deployed"})), path)
    assert answer.status_code == 503
    conforms(answer.json(), name)


SHOWN = {
    "prompt": "x",
    "size": None,
    "seconds": "4",
    "fps": 24.0,
    "num_frames": 17,
    "metrics": True,
    "guardrails": "off",
}
RESULT = {
    "width": 320,
    "height": 192,
    "num_frames": 17,
    "fps": 24.0,
    "stage_seconds": {"encode": 1.0},
    "peak_memory_bytes": 10,
    "handed_over_bytes": {"fetched": 3},
    "action": {
        "data": [[0.5]],
        "shape": [1, 1],
        "dtype": "float32",
        "raw_action_dim": 1,
        "action_mode": "policy",
        "domain_id": 1,
    },
    "seed": 1,
    "latents_sha256": {"vision": "00"},
}


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"status": "completed", "completed_at": 2.0, "result": RESULT, "progress": 100},
        {"status": "failed", "completed_at": 2.0, "error": {"code": 500, "message": "no"}},
    ],
)
def test_a_video_job_is_as_described(facts: dict[str, Any]) -> None:
    job = Job("video_gen_1", "video", "nano", "app", "decoder", True, {}, SHOWN, created_at=1.0, **facts)
    found = video_object(job, {job.id: 3})
    assert set(found) == set(VideoObject.__annotations__)
    conforms(found, "VideoObject")
    conforms(video_page([found, found | {"id": "b"}], True), "VideoPage")
    conforms(video_page([], False), "VideoPage")
    conforms(video_deleted("a"), "VideoDeleted")


def test_both_ends_of_a_page() -> None:
    first, last = (cast(VideoObject, {"id": name}) for name in "ab")
    assert video_page([first, last], False)["first_id"] == "a"
    assert video_page([first, last], False)["last_id"] == "b"


# The page.


class Text(HTMLParser):
    """What a browser would show, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.shown.append(data)


def read_page(text: str) -> Text:
    parser = Text()
    parser.feed(text)
    return parser


def test_the_page_shows_routes_and_fields() -> None:
    shown = set(read_page(page(described())).shown)
    assert {f"{method} {path}" for method, path, _ in operations()} <= shown
    assert {field for name in BODIES for field in components()[name]["properties"]} <= shown
    assert " (required)" in shown


def test_the_page_needs_nothing_from_elsewhere() -> None:
    read = read_page(page(described()))
    assert not {"script", "link", "img", "iframe", "object", "base"} & {tag for tag, _ in read.tags}
    anchors = {attributes["id"] for _, attributes in read.tags if "id" in attributes}
    links = [attributes["href"] or "" for tag, attributes in read.tags if tag == "a"]
    assert links and {link.removeprefix("#") for link in links} <= anchors
    assert not any(name.startswith(("on", "src", "style")) for _, attributes in read.tags for name in attributes)


def test_the_page_escapes() -> None:
    evil = "</style><script>alert(`1`)</script>"
    spoiled = json.loads(json.dumps(described()).replace("multiples of 16", evil).replace("Cosmos 3", evil))
    assert "<script" not in page(spoiled)
    assert "".join(read_page(page(spoiled)).shown).count("<script>alert(") >= 2


def test_the_commands_are_what_a_shell_reads() -> None:
    for method, path, operation in operations():
        command = shlex.split(curl(method, path, operation))
        assert command[0] == "curl" and "{" not in next(part for part in command if part.startswith("http"))
        if "-d" in command:
            assert json.loads(command[command.index("-d") + 1]) == operation["requestBody"]["content"][JSON]["example"]


def test_both_are_served() -> None:
    app = Starlette(routes=[Route("/openapi.json", openapi_json), Route("/docs", docs)])
    answer = ask(app, "/openapi.json")
    assert answer.json() == document(app.routes)
    answer = ask(app, "/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "GET /openapi.json" in answer.text


def test_the_example_image_is_one() -> None:
    assert encode_image(picture(1, 1, seed=0), "png")[:4] == base64.b64decode(tables.PIXEL.partition(",")[2])[:4]
