"""The OpenAPI document of the routes, and values that its schemas describe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openapi_schema_validator import OAS31Validator

from deployments.ingress.app import ROUTES
from deployments.ingress.documentation.openapi import document
from deployments.ingress.documentation.schemas import components


def described() -> dict[str, Any]:
    return document(ROUTES)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in described()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def conforms(value: Any, name: str) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": components()}}
    OAS31Validator(schema).validate(value)
