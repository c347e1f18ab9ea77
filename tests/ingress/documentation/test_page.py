"""The page: it shows routes and fields, is self-contained and escapes its text."""

from __future__ import annotations

import json
import shlex
from html.parser import HTMLParser

from starlette.applications import Starlette
from starlette.routing import Route

from deployments.ingress.documentation.openapi import openapi_json
from deployments.ingress.documentation.page import curl, docs, page
from deployments.ingress.documentation.schemas import BODIES, components
from deployments.ingress.requests.body import JSON
from tests.ingress.documentation.documents import described, operations
from tests.ingress.stubs import ask_app


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


def test_the_page_is_self_contained() -> None:
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


def test_the_commands_are_valid_in_a_shell() -> None:
    for method, path, operation in operations():
        command = shlex.split(curl(method, path, operation))
        assert command[0] == "curl" and "{" not in next(part for part in command if part.startswith("http"))
        if "-d" in command:
            assert json.loads(command[command.index("-d") + 1]) == operation["requestBody"]["content"][JSON]["example"]


def test_the_page_is_served() -> None:
    app = Starlette(routes=[Route("/openapi.json", openapi_json), Route("/docs", docs)])
    answer = ask_app(app, "/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "GET /openapi.json" in answer.text
