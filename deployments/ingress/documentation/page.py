"""`/docs`: the OpenAPI document as one self-contained page of HTML, without scripts."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element, tostring

from starlette.requests import Request
from starlette.responses import HTMLResponse

from deployments.ingress.documentation.openapi import EVENTS, document
from deployments.ingress.requests.body import JSON
from deployments.ingress.requests.coercions import JsonSchema

HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
ADDRESS = "http://localhost:8000"
LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
    "maxLength": "at most this many characters:",
    "maxItems": "at most this many:",
    "minItems": "at least this many:",
    "pattern": "matches",
    "default": "default",
}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: 13px; }
pre { background: #8882; padding: .6rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
table { border-collapse: collapse; }
td { border-top: 1px solid #8884; padding: .2rem .6rem .2rem 0; vertical-align: top; }
h2 { margin-top: 2rem; }
:root { color-scheme: light dark; }
"""

Inline = Element | str


async def docs(request: Request) -> HTMLResponse:
    """This server's routes and fields as an HTML page."""
    return HTMLResponse(page(document(request.app.routes)), headers=HEADERS)


def page(described: dict[str, Any]) -> str:
    """The page of an OpenAPI document."""
    info = described["info"]
    head = _tag("head", _tag("meta", charset="utf-8"), _tag("title", info["title"]), _tag("style", STYLE))
    operations = [
        (method.upper(), path, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = described["components"]["schemas"].items()
    bodies = {_ref_name(_body_schema(operation)) for _, _, operation in operations}
    body = _tag(
        "body",
        _tag("h1", f"{info['title']} {info['version']}"),
        *(_tag("p", *_marked(paragraph)) for paragraph in info["description"].split("\n\n")),
        _tag("ul", *(_tag("li", _link(f"{method} {path}")) for method, path, _ in operations)),
        *(part for method, path, operation in operations for part in _operation(method, path, operation)),
        *(part for name, schema in schemas for part in _schema(name, schema, is_body=name in bodies)),
    )
    # The serialiser escapes all text and attributes, except for the style sheet.
    return f"<!doctype html>\n{tostring(_tag('html', head, body, lang='en'), encoding='unicode', method='html')}\n"


def curl(method: str, path: str, operation: dict[str, Any]) -> str:
    """A command that sends a route's example."""
    parts = ["curl", "-sS"]
    if method != "GET":
        parts += ["-X", method]
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
    parts.append(f"{ADDRESS}{path}")
    body = operation.get("requestBody")
    if body is not None:
        parts += ["-H", f"Content-Type: {JSON}", "-d", json.dumps(body["content"][JSON]["example"])]
    answers = operation["responses"]["200"]["content"]
    if JSON not in answers and EVENTS not in answers and not any(kind.startswith("text/") for kind in answers):
        parts += ["-o", f"out.{next(iter(answers)).rpartition('/')[2]}"]
    return shlex.join(parts).replace("curl -sS", "curl -sSN" if EVENTS in answers else "curl -sS", 1)


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[Element]:
    yield _tag("h2", f"{method} {path}", id=_anchor(f"{method} {path}"))
    for paragraph in operation["description"].split("\n\n"):
        yield _tag("p", *_marked(paragraph))
    parameters = [
        _row(f"{parameter['name']} ({parameter['in']})", parameter | parameter["schema"])
        for parameter in operation["parameters"]
    ]
    if parameters:
        yield _tag("table", *parameters)
    if "requestBody" in operation:
        media_types = ", ".join(operation["requestBody"]["content"])
        yield _tag("p", "Takes ", *_type(_body_schema(operation)), f" as {media_types}.")
    for status, answer in operation["responses"].items():
        if "$ref" not in answer:
            yield _tag("p", f"{status}: ", *_contents(answer.get("content", {})))
    yield _tag("pre", curl(method, path, operation))


def _body_schema(operation: dict[str, Any]) -> JsonSchema:
    """The schema of a route's body, which is the same for all its media types."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema: JsonSchema = content["schema"]
        return schema
    return {}


def _ref_name(schema: JsonSchema) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _contents(content: dict[str, Any]) -> Iterator[Inline]:
    for number, (media_type, described) in enumerate(content.items()):
        yield ", " if number else ""
        yield f"{media_type} "
        if "$ref" in described["schema"]:
            yield from _type(described["schema"])
        else:
            yield described["schema"].get("description", "")


def _schema(name: str, schema: JsonSchema, *, is_body: bool) -> Iterator[Element]:
    yield _tag("h2", name, id=_anchor(name))
    if schema.get("description"):
        yield _tag("p", *_marked(schema["description"]))
    # An answer always has all of its fields, so only bodies mark the required ones.
    required = schema.get("required", []) if is_body else []
    rows = [
        _row(field, described, required=field in required) for field, described in schema.get("properties", {}).items()
    ]
    yield _tag("table", *rows) if rows else _tag("p", *_type(schema))


def _row(name: str, schema: JsonSchema, *, required: bool = False) -> Element:
    limits = "; ".join(f"{words} {_plain(schema[limit])}" for limit, words in LIMITS.items() if limit in schema)
    return _tag(
        "tr",
        _tag("td", _tag("code", name), " (required)" if required else ""),
        _tag("td", *_type(schema)),
        _tag("td", limits),
        _tag("td", *_marked(schema.get("description", ""))),
    )


def _type(schema: JsonSchema) -> Iterator[Inline]:
    """A schema's type in a few words, with links to other schemas."""
    if "$ref" in schema:
        yield _link(_ref_name(schema))
    elif "anyOf" in schema:
        for number, part in enumerate(schema["anyOf"]):
            yield " or " if number else ""
            yield from _type(part)
    elif "enum" in schema:
        yield ", ".join(_plain(value) for value in schema["enum"])
    elif "const" in schema:
        yield _plain(schema["const"])
    elif schema.get("type") == "array" and "items" in schema:
        yield "list of "
        yield from _type(schema["items"])
    else:
        types = schema.get("type", "anything")
        yield " or ".join(types) if isinstance(types, list) else types


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _marked(text: str) -> Iterator[Inline]:
    """Text with its parts in backquotes as code."""
    for number, part in enumerate(text.split("`")):
        yield _tag("code", part) if number % 2 else part


def _link(name: str) -> Element:
    return _tag("a", _tag("code", name), href=f"#{_anchor(name)}")


def _anchor(name: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in name)


def _tag(name: str, /, *children: Inline, **attributes: str) -> Element:
    element = Element(name, attributes)
    last: Element | None = None
    for child in children:
        if isinstance(child, Element):
            element.append(child)
            last = child
        elif last is None:
            element.text = (element.text or "") + child
        else:
            last.tail = (last.tail or "") + child
    return element
