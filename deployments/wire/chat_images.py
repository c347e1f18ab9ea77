"""Finds the images in a chat request, which are data URIs, and replaces them by other content parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cosmos3_core.errors import RequestError
from deployments.wire.data_uri import read_data_uri

IMAGE = "image_url"
MAX_IMAGES = 8


def parts_of(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every content part of a chat's messages that is an object, with its path, such as `messages.0.content.1`."""
    messages = body.get("messages")
    for index, message in enumerate(messages if isinstance(messages, list) else []):
        content = message.get("content") if isinstance(message, dict) else None
        for number, part in enumerate(content if isinstance(content, list) else []):
            if isinstance(part, dict):
                yield f"messages.{index}.content.{number}", part


def data_of(url: Any, field: str) -> bytes:
    """The bytes of a base64 data URI.

    Raises:
        RequestError: the URL has another scheme or is not valid base64.
    """
    try:
        return read_data_uri(url if isinstance(url, str) else "").content
    except ValueError as error:
        raise RequestError(field, str(error)) from error


def image_url(part: dict[str, Any]) -> Any:
    """The URL of an image part in either of its two forms."""
    value = part.get(IMAGE)
    return value.get("url") if isinstance(value, dict) else value


def is_image(part: dict[str, Any]) -> bool:
    """Whether a content part is an image URL. The keys of a part decide if it has no type."""
    return part.get("type", IMAGE) == IMAGE and IMAGE in part


def image_parts(body: dict[str, Any]) -> list[bytes]:
    """The encoded images of a chat, in order."""
    return [data_of(image_url(part), f"{path}.{IMAGE}") for path, part in parts_of(body) if is_image(part)]


def with_parts(body: dict[str, Any], replacements: list[dict[str, Any]]) -> dict[str, Any]:
    """The body with its images replaced in order; without replacements, the same object."""
    if not replacements:
        return body
    remaining = iter(replacements)
    messages = []
    for message in body["messages"]:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            changed = [next(remaining) if isinstance(part, dict) and is_image(part) else part for part in content]
            message = {**message, "content": changed}
        messages.append(message)
    return {**body, "messages": messages}
