"""Images and videos in requests to the Reasoner: how they are found and read, and what stands for them in a body."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from cosmos3_core.errors import RequestError
from cosmos3_core.media.frame_sampling import MAX_FRAMES
from deployments.wire.data_uri import read_base64, read_data_uri
from deployments.wire.reasoner_calls import AttachedMedium, Operation, ReasonerCall
from deployments.wire.visual_input import VisualInput, VisualKind, VisualReading

IMAGE = "image_url"
VIDEO = "video_url"
MAX_IMAGES = 8
MAX_VIDEOS = 4
# Frames that were chosen by the sender: JPEG files in base64, separated by commas, as in vLLM.
FRAMES_HEADER = "data:video/jpeg;base64,"


def parts_of(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every content part of a chat's messages that is an object."""
    for message in body["messages"]:
        content = message.get("content")
        for part in content if isinstance(content, list) else []:
            if isinstance(part, dict):
                yield part


def medium_of(part: Mapping[str, Any]) -> str | None:
    """`image_url` or `video_url` if a content part is one. The keys of a part decide if it has no type."""
    for kind in (IMAGE, VIDEO):
        if part.get("type", kind) == kind and kind in part:
            return kind
    return None


def url_of(part: Mapping[str, Any], kind: str) -> Any:
    """The URL of a part in either of its two forms."""
    value = part.get(kind)
    return value.get("url") if isinstance(value, dict) else value


def read_medium(url: Any, kind: str, field: str, reading: VisualReading) -> VisualInput:
    """The medium in a base64 data URI, or the medium itself where its URL has been fetched.

    Raises:
        RequestError: the URL has another scheme or is not valid base64.
    """
    if isinstance(url, bytes):
        return VisualInput.of(VisualKind.IMAGE if kind == IMAGE else VisualKind.VIDEO, (url,), reading)
    text = url if isinstance(url, str) else ""
    try:
        if kind == VIDEO and text[: len(FRAMES_HEADER)].lower() == FRAMES_HEADER:
            if text.count(",") > MAX_FRAMES:
                raise RequestError(field, f"has more than {MAX_FRAMES} frames; send fewer")
            frames = tuple(read_base64(frame) for frame in text[len(FRAMES_HEADER) :].split(","))
            return VisualInput.of(VisualKind.FRAMES, frames, reading)
        content = read_data_uri(text).content
    except ValueError as error:
        raise RequestError(field, str(error)) from error
    return VisualInput.of(VisualKind.IMAGE if kind == IMAGE else VisualKind.VIDEO, (content,), reading)


def chat_call(request_id: str, body: dict[str, Any]) -> ReasonerCall:
    """A chat that this server composes itself, whose media are data URIs; a client's is read by the ingress.

    Raises:
        RequestError: a medium cannot be read.
    """
    media: dict[str, AttachedMedium] = {}
    parts: dict[str, dict[str, Any]] = {}
    for part in parts_of(body):
        kind = medium_of(part)
        if kind is not None:
            url, name = url_of(part, kind), uuid.uuid4().hex
            media[url] = AttachedMedium(name, kind, read_medium(url, kind, kind, VisualReading()))
            parts[url] = {"type": kind, kind: {"url": name}}
    return ReasonerCall(request_id, Operation.CHAT, with_parts(body, parts), tuple(media.values()))


def with_parts(body: dict[str, Any], parts: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """A chat's body in which other parts stand for media, found by the media's names or URLs."""
    messages = []
    for message in body["messages"]:
        content = message.get("content")
        if isinstance(content, list):
            changed = [parts.get(url_of(part, medium_of(part) or ""), part) for part in content]
            message = {**message, "content": changed}
        messages.append(message)
    return {**body, "messages": messages}
