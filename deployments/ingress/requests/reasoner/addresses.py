"""Where requests to the Reasoner may name media by their address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deployments.fetching.fetcher import is_address
from deployments.ingress.requests.addressed_media import AddressedMedium
from deployments.ingress.requests.reasoner.chat import INPUT_IMAGE, medium_in
from deployments.wire.chat_media import IMAGE

Found = Iterator[AddressedMedium]


def in_chat(body: dict[str, Any]) -> Found:
    """The addresses in the messages of a chat."""
    for path, part in _parts(body, "messages", ("content",)):
        medium = medium_in(part)
        if medium is not None:
            inner = part[medium]
            holder, key = (inner, "url") if isinstance(inner, dict) else (part, medium)
            if _is_address(holder.get(key)):
                yield AddressedMedium(holder, key, f"{path}.{medium}", "image" if medium == IMAGE else "video")


def in_responses(body: dict[str, Any]) -> Found:
    """The addresses in the items of a request of OpenAI's Responses API."""
    for path, part in _parts(body, "input", ("content", "output")):
        if (part.get("type") == INPUT_IMAGE or IMAGE in part) and _is_address(part.get(IMAGE)):
            yield AddressedMedium(part, IMAGE, f"{path}.{IMAGE}", "image")


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and is_address(value)


def _parts(body: dict[str, Any], field: str, keys: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The parts of messages or items that are objects, each with its path."""
    given = body.get(field)
    for index, item in enumerate(given if isinstance(given, list) else ()):
        for key in keys:
            parts = item.get(key) if isinstance(item, dict) else None
            for number, part in enumerate(parts if isinstance(parts, list) else ()):
                if isinstance(part, dict):
                    yield f"{field}.{index}.{key}.{number}", part
