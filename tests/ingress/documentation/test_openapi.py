"""The OpenAPI document: it is complete and valid."""

from __future__ import annotations

import json
import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.ingress.app import ROUTES
from deployments.ingress.documentation.openapi import OPERATIONS, PATH_EXAMPLES, document, openapi_json
from deployments.ingress.documentation.page import docs
from tests.ingress.documentation.documents import described, operations
from tests.ingress.stubs import ask_app


def test_every_route_is_described_and_nothing_else() -> None:
    served = {f"{method} {route.path_format}" for route in ROUTES for method in route.methods or ()}
    assert {f"{method} {path}" for method, path, _ in operations()} == {
        name for name in served if not name.startswith("HEAD ")
    }
    assert set(OPERATIONS) <= served


def test_a_route_without_a_description_is_an_error() -> None:
    async def nothing(request: Request) -> Response:
        """Nothing."""
        return Response()

    with pytest.raises(LookupError, match="GET /nothing"):
        document([Route("/nothing", nothing)])


def test_the_document_is_valid() -> None:
    OpenAPIV31SpecValidator(described()).validate()
    assert json.loads(json.dumps(described())) == described()


def test_every_operation_has_a_summary_and_its_parameters() -> None:
    for method, path, operation in operations():
        assert operation["summary"] and len(operation["summary"]) < 130, f"{method} {path}"
        in_path = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path)) <= set(PATH_EXAMPLES)


def test_keys_are_optional_and_for_guarded_routes() -> None:
    paths = described()["paths"]
    assert paths["/v1/videos"]["post"]["security"] == [{}, {"bearer": []}]
    assert "401" in paths["/v1/videos"]["post"]["responses"]
    for path in ("/health", "/metrics", "/v1/health/ready"):
        assert paths[path]["get"]["security"] == []
        assert "401" not in paths[path]["get"]["responses"]


def test_the_document_is_served() -> None:
    app = Starlette(routes=[Route("/openapi.json", openapi_json), Route("/docs", docs)])
    assert ask_app(app, "/openapi.json").json() == document(app.routes)
