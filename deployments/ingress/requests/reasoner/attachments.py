"""The media of a request to the Reasoner: taken out of its body, checked, and named there."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from cosmos3_core.errors import RequestError
from cosmos3_core.media.checks import MediaError
from cosmos3_core.media.signature import media_kind
from deployments.wire.chat_media import MAX_IMAGES, MAX_VIDEOS, read_medium
from deployments.wire.reasoner_calls import AttachedMedium
from deployments.wire.visual_input import VisualInput, VisualKind, VisualReading


@dataclass(frozen=True)
class ReadRequest:
    """A request that is safe for vLLM: its body, and the media that the body names."""

    body: dict[str, Any]
    media: tuple[AttachedMedium, ...] = ()


class Attachments:
    """Collects the media of one request.

    Attributes:
        media: those found so far.
    """

    def __init__(self, reading: VisualReading) -> None:
        self.media: list[AttachedMedium] = []
        self._reading = reading

    def attach(self, url: Any, kind: str, field: str) -> str:
        """Take a medium; returns the name that stands for its URL.

        Args:
            url: a data URI, or the file that a URL has led to.
            kind: `image_url` or `video_url`.
            field: the client's field.

        Raises:
            RequestError: it cannot be read, or the request has too many.
        """
        visual = read_medium(url, kind, field, self._reading)
        images = visual.kind is VisualKind.IMAGE
        word, most = ("images", MAX_IMAGES) if images else ("videos", MAX_VIDEOS)
        if sum((medium.visual.kind is VisualKind.IMAGE) is images for medium in self.media) == most:
            raise RequestError(field, f"is one more than the {most} {word} that a request may have")
        _check(visual, field)
        self.media.append(AttachedMedium(uuid.uuid4().hex, field, visual))
        return self.media[-1].name


def _check(visual: VisualInput, field: str) -> None:
    """Refuse what is no image or video by its first bytes; whoever decodes it says what else is wrong with it."""
    try:
        kind = media_kind(visual.files[0])
    except MediaError as error:
        raise RequestError(field, str(error)) from error
    if visual.kind is VisualKind.IMAGE and kind == "video":
        raise RequestError(field, "is a video; expected an image, or video_url")
